//! Takes the socket's path: a file that a dead agent left is removed, a living agent's is not.

use std::fs::{self, Permissions as Mode};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::io::Errno;
use rustix::net::SocketAddrUnix;

use crate::server::{BindError, Permissions};
use crate::socket;

const BACKLOG: i32 = 128;

/// A socket file; removed when dropped, unless somebody has put another in its place.
#[derive(Debug)]
pub(crate) struct SocketFile {
    path: PathBuf,
    device: u64,
    inode: u64,
}

/// Binds and listens at `path`.
pub(crate) fn listen(path: &Path, permissions: Permissions) -> Result<(OwnedFd, SocketFile), BindError> {
    let failed = |source: io::Error| BindError::Io { path: path.to_owned(), source };
    let address = SocketAddrUnix::new(path).map_err(|_| BindError::Path { path: path.to_owned() })?;
    remove_stale(path)?;
    let listener = socket::open().map_err(failed)?;
    rustix::net::bind(&listener, &address).map_err(|errno| match errno {
        Errno::ADDRINUSE => BindError::InUse { path: path.to_owned() },
        errno => failed(errno.into()),
    })?;
    // Nobody can connect before it listens, so nobody slips in with the wider mode that the umask left.
    let metadata = fs::symlink_metadata(path).map_err(failed)?;
    let file = SocketFile { path: path.to_owned(), device: metadata.dev(), inode: metadata.ino() };
    fs::set_permissions(path, Mode::from_mode(permissions.mode)).map_err(failed)?;
    rustix::net::listen(&listener, BACKLOG).map_err(|errno| failed(errno.into()))?;
    Ok((listener, file))
}

fn remove_stale(path: &Path) -> Result<(), BindError> {
    let failed = |source| BindError::Io { path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.file_type().is_socket() => {}
        Ok(_) => return Err(BindError::NotASocket { path: path.to_owned() }),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(failed(error)),
    }
    match socket::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        // It listens; also when its backlog is full, or it is a socket of another type.
        Ok(_) | Err(_) => return Err(BindError::InUse { path: path.to_owned() }),
    }
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(failed(error)),
        _ => Ok(()),
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path)
            .is_ok_and(|metadata| metadata.dev() == self.device && metadata.ino() == self.inode);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the ZDS socket; the next agent does");
        }
    }
}
