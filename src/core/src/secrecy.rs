//! Who may read a file that holds secrets. BOSH renders such files as root:vcap 0640, in folders that others cannot
//! enter, and a job cannot choose another mode; so it is others that must not be let in, not the group.

/// What is wrong with a file of this mode; none where others can do nothing with it.
#[must_use]
pub fn open_to_others(mode: u32) -> Option<String> {
    (mode & 0o007 != 0).then(|| {
        format!("its mode {:03o} lets everybody in, and it holds secrets: `chmod o-rwx` it", mode & 0o777)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_group_may_read_and_others_may_not() {
        for mode in [0o100_600, 0o100_640, 0o660] {
            assert_eq!(open_to_others(mode), None, "{mode:o}");
        }
        assert!(open_to_others(0o100_644).is_some_and(|problem| problem.contains("mode 644")));
        assert!(open_to_others(0o602).is_some());
    }
}
