//! Versions of collations, then and now, and what has to be rebuilt where they differ.
//!
//! A map has an entry for each collation (`libc/en_US.UTF-8`, `icu/und-x-icu`) with its version, and one for each
//! database (`database/orders`) with the collation that is the database's own.

use std::collections::{BTreeMap, BTreeSet};

/// The prefix of the entries that say which collation a database has.
const DATABASE: &str = "database/";

/// The collations of both sides that have another version on the server.
#[must_use]
pub fn changed_collations(
    then: &BTreeMap<String, String>,
    now: &BTreeMap<String, String>,
) -> BTreeMap<String, (String, String)> {
    let is_version = |name: &&String| !name.starts_with(DATABASE);
    let both = then.iter().filter(|(name, _)| is_version(name));
    let both = both.filter_map(|(name, then)| Some((name, then, now.get(name)?)));
    both.filter(|(_, then, now)| then != now).map(|(n, t, w)| (n.clone(), (t.clone(), w.clone()))).collect()
}

/// What has to be done in each database whose own collation has changed; in all of them where it is one that any
/// database can use.
#[must_use]
pub fn reindex_commands(recorded: &BTreeMap<String, String>, changed: &BTreeSet<&str>) -> Vec<String> {
    let databases =
        recorded.iter().filter_map(|(key, own)| Some((key.strip_prefix(DATABASE)?, own.as_str())));
    let databases: Vec<(&str, &str)> = databases.collect();
    let of_none = changed.iter().any(|name| databases.iter().all(|(_, own)| own != name));
    let hit = databases.iter().filter(|(_, own)| of_none || changed.contains(own));
    let mut commands: Vec<String> = hit
        .map(|(name, _)| {
            let quoted = format!("\"{}\"", name.replace('"', "\"\""));
            format!("in database {name}: `REINDEX DATABASE {quoted}`, then `ALTER DATABASE {quoted} REFRESH COLLATION VERSION`")
        })
        .collect();
    if of_none || commands.is_empty() {
        commands.push(
            "in every database, for each collation of `SELECT oid::regcollation FROM pg_collation WHERE collversion <> pg_collation_actual_version(oid)`: \
             `REINDEX DATABASE …`, then `ALTER COLLATION … REFRESH VERSION`"
                .into(),
        );
    }
    commands
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_version_that_has_changed_is_told_with_the_commands_of_each_database_it_hits() {
        let then = map(&[
            ("libc/en_US.UTF-8", "2.31"),
            ("libc/C.UTF-8", ""),
            ("icu/und-x-icu", "153.14"),
            ("database/orders", "libc/en_US.UTF-8"),
            ("database/plain", "libc/C.UTF-8"),
        ]);
        let mut now = then.clone();
        assert!(changed_collations(&then, &now).is_empty());
        now.insert("libc/en_US.UTF-8".into(), "2.36".into());
        let changes = changed_collations(&then, &now);
        assert_eq!(changes["libc/en_US.UTF-8"], ("2.31".to_owned(), "2.36".to_owned()));
        let names = BTreeSet::from(["libc/en_US.UTF-8"]);
        let expected = "in database orders: `REINDEX DATABASE \"orders\"`, then \
                        `ALTER DATABASE \"orders\" REFRESH COLLATION VERSION`";
        assert_eq!(reindex_commands(&then, &names), [expected]);
        let anybodys = reindex_commands(&then, &BTreeSet::from(["icu/und-x-icu"]));
        assert_eq!(anybodys.len(), 3, "both databases, and the collations themselves: {anybodys:?}");
    }
}
