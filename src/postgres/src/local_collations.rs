//! Rebuilding the indexes of collations whose library has another version than when they were built.
//!
//! # Source
//! PostgreSQL documentation, `ALTER COLLATION`, section "Notes": rebuild what depends on it, then refresh the version.

use crate::local::{database, get, must_be_primary, one};
use crate::{LocalServer, Result};

const ACTION: &str = "rebuild indexes";

/// The database's name, whether its own collation has changed, and the other collations that have, all quoted.
const STALE: &str = "
    SELECT (SELECT format('%I', datname) FROM pg_database WHERE datname = current_database()),
           (SELECT coalesce(datcollversion <> pg_database_collation_actual_version(oid), false)
              FROM pg_database WHERE datname = current_database()),
           (SELECT coalesce(array_agg(format('%I.%I', nspname, collname)), '{}')
              FROM pg_collation c JOIN pg_namespace n ON n.oid = c.collnamespace
             WHERE collversion <> pg_collation_actual_version(c.oid))";

impl LocalServer {
    /// Rebuilds all indexes of each database in which a collation has changed, and notes the present versions.
    /// Answers which databases those were. Writers of a table wait while its indexes are rebuilt.
    ///
    /// # Errors
    /// [`crate::Error::NotPrimary`] on a standby, [`crate::Error::Database`]: what was rebuilt stays so.
    pub async fn refresh_collations(&self) -> Result<Vec<String>> {
        let client = self.connect_unlimited().await?;
        must_be_primary(&client, ACTION).await?;
        // -2: a DROP DATABASE was interrupted. Nobody can connect to what is left, and nothing can be done but to drop it.
        let names = "SELECT datname::text FROM pg_database WHERE datallowconn AND datconnlimit <> -2 ORDER BY datname";
        let rows = client.query(names, &[]).await.map_err(database(ACTION))?;
        let mut refreshed = Vec::new();
        for row in &rows {
            let name: String = get(row, 0)?;
            if self.refresh_database(&name).await? {
                refreshed.push(name);
            }
        }
        Ok(refreshed)
    }

    async fn refresh_database(&self, name: &str) -> Result<bool> {
        let client = self.connect_unlimited_to(name).await?;
        let row = one(&client, ACTION, STALE).await?;
        let (quoted, own, others): (String, bool, Vec<String>) =
            (get(&row, 0)?, get(&row, 1)?, get(&row, 2)?);
        if !own && others.is_empty() {
            return Ok(false);
        }
        log::info!(database = name; "a collation has another version: the indexes are rebuilt");
        // Each alone: a rebuild of a database cannot be part of a transaction.
        let mut statements = vec![format!("REINDEX DATABASE {quoted}")];
        if own {
            statements.push(format!("ALTER DATABASE {quoted} REFRESH COLLATION VERSION"));
        }
        statements.extend(others.iter().map(|name| format!("ALTER COLLATION {name} REFRESH VERSION")));
        for statement in &statements {
            client.batch_execute(statement).await.map_err(database(ACTION))?;
        }
        Ok(true)
    }
}
