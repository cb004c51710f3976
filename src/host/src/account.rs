//! The user that PostgreSQL and the daemons run as. Hooks run as root: what they make has to belong
//! to that user, and what talks to PostgreSQL has to *be* that user (peer authentication).
//!
//! What the user can write may hold links of its making. So a hook does there, as root, one thing alone: it makes
//! folders by [`Account::create_folder`], which follows no such link. All else it does with the user's rights, by
//! [`Account::act`] or [`Account::become_it`]: a link then leads to nothing that the user could not reach itself.

use std::fs;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::thread;

use rustix::process::{Gid, Uid};
use rustix::thread::{set_thread_groups, set_thread_res_gid, set_thread_res_uid};

use crate::durable::{self, FileError, at};
use crate::own_folder;

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
    ///
    /// # Errors
    /// [`AccountError::File`]: the file system's, or a link in a folder that others than root can write.
    pub fn create_folder(self, path: &Path) -> Result<()> {
        if !is_root() {
            return Ok(durable::create_folder(path)?);
        }
        let path = std::path::absolute(path).map_err(at(path))?;
        let owner = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        Ok(own_folder::make(&path, owner).map_err(at(&path))?)
    }

    /// Does `work` with this user's rights alone, where this process has root's: on a thread of its own that gives
    /// them up. Threads and processes that the work starts have no others.
    ///
    /// # Errors
    /// [`AccountError::System`]: the rights cannot be given up. The work was not begun.
    pub fn act<T: Send>(self, work: impl FnOnce() -> T + Send) -> Result<T> {
        if !is_root() || self.uid == 0 {
            return Ok(work());
        }
        let done = thread::scope(|scope| {
            scope
                .spawn(move || {
                    self.give_up_root()?;
                    Ok(work())
                })
                .join()
        });
        done.unwrap_or_else(|panic| std::panic::resume_unwind(panic)).map_err(system("give up root's rights"))
    }

    /// Of this thread, for good: root's groups, then its group, then the user itself, which takes the capabilities.
    fn give_up_root(self) -> io::Result<()> {
        let (uid, gid) = (Uid::from_raw(self.uid), Gid::from_raw(self.gid));
        set_thread_groups(&[])?;
        set_thread_res_gid(gid, gid, gid)?;
        Ok(set_thread_res_uid(uid, uid, uid)?)
    }

    /// Makes a command run as this user, where we may. The supplementary groups of root are dropped.
    fn run_as(self, command: &mut Command) -> &mut Command {
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
    use std::os::unix::fs::{MetadataExt, PermissionsExt};

    use super::*;

    #[test]
    fn work_that_is_done_as_the_user_cannot_do_what_root_can() {
        if !is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let (secret, theirs) = (folder.path().join("secret"), folder.path().join("theirs"));
        fs::write(&secret, "of root").unwrap();
        let user = Account { uid: 12_345, gid: 12_346 };
        user.create_folder(&theirs).unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o600)).unwrap();
        let note = theirs.join("note");
        let read = user.act(|| {
            durable::write(&note, b"by the user").unwrap();
            let child = Command::new("cat").arg(&secret).output().unwrap();
            assert!(!child.status.success(), "a process of the work has root's rights");
            thread::scope(|scope| scope.spawn(|| fs::read(&secret)).join().unwrap())
        });
        assert_eq!(read.unwrap().unwrap_err().kind(), io::ErrorKind::PermissionDenied);
        let note = fs::metadata(note).unwrap();
        assert_eq!((note.uid(), note.gid()), (12_345, 12_346));
        fs::read(&secret).unwrap();
    }

    #[test]
    fn a_user_is_found_by_its_whole_name() {
        let passwd =
            "root:x:0:0::/root:/bin/sh\nvcap2:x:7:8::/:/x\nvcap:x:1000:1001:BOSH:/home/vcap:/bin/sh\n";
        assert_eq!(find(passwd, "vcap"), Some(Account { uid: 1000, gid: 1001 }));
        assert_eq!(find(passwd, "vca"), None);
        assert_eq!((name_of(passwd, 1000), name_of(passwd, 100)), (Some("vcap".into()), None));
    }
}
