//! Folders that root makes for another user, in folders that this user can write: without following the user's links.
//!
//! A path is walked name by name, each opened below the one before. A link is followed only where root alone could
//! have made it (`/var/vcap/sys` is one of BOSH's). Another one would let the user choose what root creates and gives
//! away: `applied -> /etc` would make `/etc` the user's.

use std::ffi::{OsStr, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStringExt;
use std::path::{Component, Path, PathBuf};

use rustix::fs::{self, Gid, Mode, OFlags, Stat, Uid};
use rustix::io::Errno;

/// As many as the kernel itself follows.
const LINKS_MAX: usize = 40;
const FOLDER: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Makes the folder at `path`, which is absolute, and those above it, and gives it to a user. What is made above it belongs to
/// the owner of the first folder that existed.
///
/// # Errors
/// The file system's, or a link that somebody else than root can have made.
pub fn make(path: &Path, owner: (Uid, Gid)) -> io::Result<()> {
    let mut walk = Walk::from_root()?;
    walk.go(path)?;
    give(&walk.folder, owner)
}

/// Where a walk is, and what is left of the path.
struct Walk {
    folder: OwnedFd,
    /// In reverse.
    left: Vec<OsString>,
    links: usize,
}

impl Walk {
    fn from_root() -> io::Result<Self> {
        Ok(Self { folder: fs::open("/", FOLDER, Mode::empty())?, left: Vec::new(), links: 0 })
    }

    fn go(&mut self, path: &Path) -> io::Result<()> {
        self.left = names(path);
        while let Some(name) = self.left.pop() {
            match fs::openat(&self.folder, &name, FOLDER, Mode::empty()) {
                Ok(next) => self.folder = next,
                Err(Errno::NOENT) => self.create(&name)?,
                // What is no folder is a link, or something that nobody can go through.
                Err(Errno::LOOP | Errno::NOTDIR) => self.follow(&name)?,
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }

    fn create(&mut self, name: &OsStr) -> io::Result<()> {
        match fs::mkdirat(&self.folder, name, Mode::from_raw_mode(0o755)) {
            // The other job's hook runs at the same moment and was faster.
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let made = fs::openat(&self.folder, name, FOLDER, Mode::empty())?;
        give(&made, owner_of(&fs::fstat(&self.folder)?))?;
        fs::fsync(&self.folder)?;
        self.folder = made;
        Ok(())
    }

    fn follow(&mut self, name: &OsStr) -> io::Result<()> {
        let target = match fs::readlinkat(&self.folder, name, Vec::new()) {
            Ok(target) => PathBuf::from(OsString::from_vec(target.into_bytes())),
            Err(Errno::INVAL) => return Err(Errno::NOTDIR.into()),
            Err(error) => return Err(error.into()),
        };
        self.links += 1;
        if !is_roots_alone(&fs::fstat(&self.folder)?) || self.links > LINKS_MAX {
            return Err(not_followed(name, &target));
        }
        if target.is_absolute() {
            self.folder = fs::open("/", FOLDER, Mode::empty())?;
        }
        self.left.extend(names(&target));
        Ok(())
    }
}

fn names(path: &Path) -> Vec<OsString> {
    let name = |component: Component<'_>| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    };
    let mut names: Vec<_> = path.components().filter_map(name).collect();
    names.reverse();
    names
}

/// Whether root alone can change what names a folder holds.
fn is_roots_alone(folder: &Stat) -> bool {
    folder.st_uid == 0 && folder.st_mode & 0o022 == 0
}

fn owner_of(stat: &Stat) -> (Uid, Gid) {
    (Uid::from_raw(stat.st_uid), Gid::from_raw(stat.st_gid))
}

fn give(folder: &OwnedFd, owner: (Uid, Gid)) -> io::Result<()> {
    if owner_of(&fs::fstat(folder)?) == owner {
        return Ok(());
    }
    Ok(fs::fchown(folder, Some(owner.0), Some(owner.1))?)
}

fn not_followed(name: &OsStr, target: &Path) -> io::Error {
    io::Error::other(format!(
        "`{}` is a link to {} in a folder that others than root can write: root does not follow it; remove the link",
        name.display(),
        target.display()
    ))
}

#[cfg(test)]
mod tests {
    use std::fs as files;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};

    use super::*;

    const USER: (u32, u32) = (12_345, 12_346);

    fn make(path: &Path) -> io::Result<()> {
        super::make(path, (Uid::from_raw(USER.0), Gid::from_raw(USER.1)))
    }

    fn owner(path: &Path) -> (u32, u32) {
        let stat = files::symlink_metadata(path).unwrap();
        (stat.uid(), stat.gid())
    }

    /// A folder that the user owns, beside one of root's. None where the test does not run as root.
    fn landscape() -> Option<(tempfile::TempDir, PathBuf, PathBuf)> {
        crate::is_root().then(|| {
            let home = tempfile::tempdir().unwrap();
            files::set_permissions(home.path(), files::Permissions::from_mode(0o755)).unwrap();
            let (users, roots) = (home.path().join("users"), home.path().join("roots"));
            files::create_dir(&users).unwrap();
            files::create_dir(&roots).unwrap();
            chown(&users, Some(USER.0), Some(USER.1)).unwrap();
            (home, users, roots)
        })
    }

    #[test]
    fn what_is_missing_is_made_and_given_to_the_user() {
        let Some((_home, users, roots)) = landscape() else { return };
        make(&users.join("a/b")).unwrap();
        make(&users.join("a/b")).unwrap();
        assert_eq!((owner(&users.join("a")), owner(&users.join("a/b"))), (USER, USER));
        make(&roots.join("a/b")).unwrap();
        assert_eq!((owner(&roots.join("a")), owner(&roots.join("a/b"))), ((0, 0), USER));
    }

    #[test]
    fn a_link_of_the_users_is_not_followed_wherever_it_is_in_the_path() {
        let Some((_home, users, roots)) = landscape() else { return };
        files::create_dir(roots.join("inside")).unwrap();
        symlink(&roots, users.join("link")).unwrap();
        for path in ["link", "link/inside", "link/new"] {
            let told = make(&users.join(path)).unwrap_err().to_string();
            assert!(told.contains("`link` is a link to") && told.contains("remove the link"), "{told}");
        }
        assert_eq!((owner(&roots), owner(&roots.join("inside"))), ((0, 0), (0, 0)));
        assert!(!roots.join("new").exists());
    }

    #[test]
    fn a_link_of_roots_is_followed_as_boshs_are() {
        let Some((home, users, roots)) = landscape() else { return };
        symlink("roots", home.path().join("sys")).unwrap();
        symlink(&users, home.path().join("store")).unwrap();
        make(&home.path().join("sys/run")).unwrap();
        make(&home.path().join("store/remount")).unwrap();
        assert_eq!((owner(&roots.join("run")), owner(&users.join("remount"))), (USER, USER));
        symlink("loop", home.path().join("loop")).unwrap();
        make(&home.path().join("loop/x")).unwrap_err();
    }

    #[test]
    fn a_file_in_the_way_is_told() {
        let Some((_home, users, _roots)) = landscape() else { return };
        files::write(users.join("file"), "").unwrap();
        assert_eq!(make(&users.join("file/x")).unwrap_err().kind(), io::ErrorKind::NotADirectory);
    }
}
