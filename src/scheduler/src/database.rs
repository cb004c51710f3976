//! Whether the scheduler's PostgreSQL can be reached.

use std::time::Duration;

use tokio::time::timeout;
use tokio_postgres::config::SslMode;
use tokio_postgres::tls::{MakeTlsConnect, TlsConnect};
use tokio_postgres::{Config, NoTls, Socket};

use crate::tls::MakeTls;

/// How long one check may take, from the name lookup to the answer.
const LIMIT: Duration = Duration::from_secs(5);

/// A database to which each check opens a new connection.
pub struct Database {
    config: Config,
    tls: Option<MakeTls>,
}

impl Database {
    /// The database with this configuration; encrypted where an authority is configured.
    pub fn new(mut config: Config, tls: Option<MakeTls>) -> Self {
        config.ssl_mode(if tls.is_some() { SslMode::Require } else { SslMode::Disable });
        config.connect_timeout(LIMIT).application_name("remount-scheduler");
        Self { config, tls }
    }

    /// Logs in and runs a query.
    ///
    /// # Errors
    /// Why it failed, without the password.
    pub async fn check(&self) -> Result<(), String> {
        let asked = async {
            match &self.tls {
                Some(tls) => ask(&self.config, tls.clone()).await,
                None => ask(&self.config, NoTls).await,
            }
        };
        match timeout(LIMIT, asked).await {
            Ok(answer) => answer.map_err(|error| words(&error)),
            Err(_) => Err(format!("no answer within {} s", LIMIT.as_secs())),
        }
    }
}

async fn ask<T>(config: &Config, tls: T) -> Result<(), tokio_postgres::Error>
where
    T: MakeTlsConnect<Socket>,
    T::TlsConnect: Send,
    T::Stream: Send + 'static,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let (client, connection) = config.connect(tls).await?;
    // It ends by itself when the client is dropped or the server goes away.
    let connection = tokio::spawn(connection);
    let answer = client.simple_query("SELECT 1").await;
    drop(client);
    connection.abort();
    answer.map(drop)
}

/// The server's message, or the driver's with its cause.
fn words(error: &tokio_postgres::Error) -> String {
    match (error.as_db_error(), std::error::Error::source(error)) {
        (Some(refusal), _) => {
            format!("{}: {} ({})", refusal.severity(), refusal.message(), refusal.code().code())
        }
        (None, Some(cause)) => format!("{error} ({cause})"),
        (None, None) => error.to_string(),
    }
}
