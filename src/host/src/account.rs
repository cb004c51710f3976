//! The user that PostgreSQL and the daemons run as. Hooks run as root: what they make has to belong
//! to that user, and what talks to PostgreSQL has to *be* that user (peer authentication).

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, chown};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use crate::durable::{self, FileError};

/// The user does not exist, or cannot be changed to.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// There is no such user.
    #[error("there is no user `{0}` in /etc/passwd")]
    Unknown(String),
    /// A file or folder cannot be given to the user.
    #[error("{action}")]
    System {
        /// What was being done.
        action: String,
        /// Why it failed.
        #[source]
        source: io::Error,
    },
    /// A folder cannot be made.
    #[error(transparent)]
    File(#[from] FileError),
}

type Result<T, E = AccountError> = std::result::Result<T, E>;

fn system(action: impl Into<String>) -> impl FnOnce(io::Error) -> AccountError {
    let action = action.into();
    move |source| AccountError::System { action, source }
}

/// A user of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Account {
    uid: u32,
    gid: u32,
}

impl Account {
    /// The user with this name, from `/etc/passwd`: BOSH's users are always local.
    pub fn named(name: &str) -> Result<Self> {
        let text = fs::read_to_string("/etc/passwd").map_err(system("read /etc/passwd"))?;
        find(&text, name).ok_or_else(|| AccountError::Unknown(name.to_owned()))
    }

    /// Makes a folder that belongs to this user. One that is there is given to it.
    pub fn create_folder(self, path: &Path) -> Result<()> {
        durable::create_folder(path)?;
        self.own(path)
    }

    /// Gives a file or folder to this user, where we may.
    pub fn own(self, path: &Path) -> Result<()> {
        let now = fs::metadata(path).map_err(system(format!("look at {}", path.display())))?;
        if !is_root() || (now.uid(), now.gid()) == (self.uid, self.gid) {
            return Ok(());
        }
        chown(path, Some(self.uid), Some(self.gid)).map_err(system(format!("chown {}", path.display())))
    }

    /// Makes a command run as this user, where we may. The supplementary groups of root are dropped.
    pub fn run_as(self, command: &mut Command) -> &mut Command {
        if is_root() {
            command.uid(self.uid).gid(self.gid);
        }
        command.current_dir("/")
    }

    /// Becomes this user: a process of root executes its own program again, with the same arguments.
    pub fn become_it(self) -> Result<()> {
        if !is_root() || self.uid == 0 {
            return Ok(());
        }
        let program = std::env::current_exe().map_err(system("find our own program"))?;
        let mut again = Command::new(program);
        again.args(std::env::args_os().skip(1));
        // `exec` returns only where it failed.
        Err(system("start again as the service user")(self.run_as(&mut again).exec()))
    }
}

/// Whether this process may do everything.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The name of a user of this machine; none where `/etc/passwd` has no such user.
#[must_use]
pub fn user_name(uid: u32) -> Option<String> {
    name_of(&fs::read_to_string("/etc/passwd").ok()?, uid)
}

fn name_of(passwd: &str, uid: u32) -> Option<String> {
    let has_uid = |line: &&str| line.split(':').nth(2).is_some_and(|field| field.parse() == Ok(uid));
    passwd.lines().find(has_uid)?.split(':').next().map(str::to_owned)
}

fn find(passwd: &str, name: &str) -> Option<Account> {
    let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
    let mut fields = line.split(':').skip(2);
    Some(Account { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nvcap2:x:7:8::/:/x\nvcap:x:1000:1001:BOSH:/home/vcap:/bin/sh\n";
        assert_eq!(find(passwd, "vcap"), Some(Account { uid: 1000, gid: 1001 }));
        assert_eq!(find(passwd, "vca"), None);
        assert_eq!((name_of(passwd, 1000), name_of(passwd, 100)), (Some("vcap".into()), None));
    }
}
