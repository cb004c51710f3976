//! Roles, passwords and databases, re-applied at every start of the primary.
//!
//! A restore brings back the passwords of the snapshot's time. Applying them again changes nothing
//! where they are right. The statements carry SCRAM verifiers, never passwords: statements are logged.

use postgres_protocol::password::scram_sha_256;
use remount_postgres::{Error as PostgresError, LocalServer};
use tokio_postgres::{Client, SimpleQueryMessage};

use remount_host::Secret;

use super::config::{Attribute, PostgresConfig};
use crate::error::Result;

/// Makes roles and databases be as configured.
///
/// # Errors
/// PostgreSQL's; what was set before the failing statement stays.
pub async fn apply(config: &PostgresConfig, server: &LocalServer) -> Result<()> {
    let client = server.connect().await?;
    // A standby that has not come back must not hold up the primary's start.
    execute(&client, "set up the session", "SET synchronous_commit = local").await?;
    role(&client, &config.superuser, config.superuser_password.as_ref(), &[Attribute::Superuser]).await?;
    let replication = &config.replication;
    role(&client, &replication.name, Some(&replication.password), &[Attribute::Replication]).await?;
    for wanted in &config.roles {
        role(&client, &wanted.name, wanted.password.as_ref(), &wanted.attributes).await?;
    }
    for wanted in &config.databases {
        database(&client, &wanted.name, wanted.owner.as_deref().unwrap_or(&config.superuser)).await?;
    }
    log::info!(roles = config.roles.len() + 2, databases = config.databases.len(); "roles and databases are as configured");
    Ok(())
}

async fn role(
    client: &Client,
    name: &str,
    password: Option<&Secret>,
    attributes: &[Attribute],
) -> Result<()> {
    let action = format!("set up role {name}");
    let query = format!("SELECT FROM pg_roles WHERE rolname = {}", literal(name));
    if !exists(client, &action, &query).await? {
        execute(client, &action, &format!("CREATE ROLE {} LOGIN", identifier(name))).await?;
    }
    let mut statement = format!("ALTER ROLE {} LOGIN", identifier(name));
    for attribute in attributes {
        statement.push(' ');
        statement.push_str(keyword(*attribute));
    }
    if let Some(password) = password {
        let verifier = scram_sha_256(password.expose().as_bytes());
        statement.push_str(&format!(" PASSWORD {}", literal(&verifier)));
    }
    execute(client, &action, &statement).await
}

async fn database(client: &Client, name: &str, owner: &str) -> Result<()> {
    let action = format!("set up database {name}");
    let query = format!("SELECT FROM pg_database WHERE datname = {}", literal(name));
    if !exists(client, &action, &query).await? {
        let statement = format!("CREATE DATABASE {} OWNER {}", identifier(name), identifier(owner));
        execute(client, &action, &statement).await?;
    }
    Ok(())
}

const fn keyword(attribute: Attribute) -> &'static str {
    match attribute {
        Attribute::Superuser => "SUPERUSER",
        Attribute::Createdb => "CREATEDB",
        Attribute::Createrole => "CREATEROLE",
        Attribute::Replication => "REPLICATION",
        Attribute::Bypassrls => "BYPASSRLS",
    }
}

async fn execute(client: &Client, action: &str, statement: &str) -> Result<()> {
    Ok(client.batch_execute(statement).await.map_err(failed(action))?)
}

async fn exists(client: &Client, action: &str, query: &str) -> Result<bool> {
    let answer = client.simple_query(query).await.map_err(failed(action))?;
    Ok(answer.iter().any(|message| matches!(message, SimpleQueryMessage::Row(_))))
}

/// PostgreSQL's message without the statement.
fn failed(action: &str) -> impl Fn(tokio_postgres::Error) -> PostgresError {
    move |error| {
        let detail = error.as_db_error().map_or_else(
            || error.to_string(),
            |refusal| format!("{}: {} ({})", refusal.severity(), refusal.message(), refusal.code().code()),
        );
        PostgresError::Database { action: action.to_owned(), detail }
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// The session's strings conform to the standard: a backslash is a backslash.
fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
