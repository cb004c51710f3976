//! Who may read a file that holds secrets. BOSH renders such files as root:vcap 0640, in folders that others cannot
//! enter, and a job cannot choose another mode: so access for everyone is refused, not access for the group.

/// What is wrong with a file of this mode; none where only its owner and group have access.
#[must_use]
pub fn world_access(mode: u32) -> Option<String> {
    (mode & 0o007 != 0).then(|| {
        format!(
            "it holds secrets and is accessible to everyone (mode {:03o}): run `chmod o-rwx` on it",
            mode & 0o777
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_may_read_and_others_may_not() {
        for mode in [0o100_600, 0o100_640, 0o660] {
            assert_eq!(world_access(mode), None, "{mode:o}");
        }
        assert!(world_access(0o100_644).is_some_and(|problem| problem.contains("mode 644")));
        assert!(world_access(0o602).is_some());
    }
}
