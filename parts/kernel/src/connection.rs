//! Connection files: Jupyter's, which names our ports and key, and the one that we write for the kernel behind us.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jupyter_protocol::ConnectionInfo;
use jupyter_protocol::connection_info::Transport;

use crate::Error;

/// Reads Jupyter's connection file.
pub(crate) fn read(path: &Path) -> Result<ConnectionInfo, Error> {
    let wrong = |reason: String| Error::Connection { path: path.to_owned(), reason };
    let text = std::fs::read(path).map_err(|error| wrong(error.to_string()))?;
    let info: ConnectionInfo = serde_json::from_slice(&text).map_err(|error| wrong(error.to_string()))?;
    if info.transport != Transport::TCP {
        return Err(wrong("its transport is ipc; only tcp is spoken here".to_owned()));
    }
    if info.signature_scheme != "hmac-sha256" && !info.key.is_empty() {
        return Err(wrong(format!("its signature scheme is {:?}, not \"hmac-sha256\"", info.signature_scheme)));
    }
    Ok(info)
}

/// Writes a connection file that only its owner may read; no other is there yet.
pub(crate) fn write(path: &Path, info: &ConnectionInfo) -> std::io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    file.write_all(&serde_json::to_vec_pretty(info)?)
}

/// With more than so many bytes before it, the name of a socket may not fit.
const LONG: usize = 70;

/// A folder of the owner's alone, removed at the end.
#[derive(Debug)]
pub(crate) struct Private {
    path: PathBuf,
}

impl Private {
    /// Makes one in `folder`; where that path is too long for a local socket's, where the system keeps what is
    /// temporary.
    pub fn new(folder: Option<&Path>) -> std::io::Result<Private> {
        let name = uuid::Uuid::new_v4().simple().to_string();
        let folder = folder.filter(|folder| folder.is_absolute() && folder.as_os_str().len() < LONG);
        let path = folder.map_or_else(std::env::temp_dir, Path::to_owned).join(format!("kernel-{}", &name[..12]));
        DirBuilder::new().mode(0o700).create(&path)?;
        Ok(Private { path })
    }

    /// A path inside.
    pub fn join(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn info() -> ConnectionInfo {
        ConnectionInfo {
            ip: "127.0.0.1".to_owned(),
            transport: Transport::TCP,
            shell_port: 1,
            iopub_port: 2,
            stdin_port: 3,
            control_port: 4,
            hb_port: 5,
            key: "secret".to_owned(),
            signature_scheme: "hmac-sha256".to_owned(),
            kernel_name: None,
        }
    }

    #[test]
    fn what_we_write_is_read_by_its_owner_alone_and_goes_at_the_end() {
        let folder = Private::new(None).unwrap();
        let path = folder.join("connection.json");
        write(&path, &info()).unwrap();
        assert_eq!(read(&path).unwrap(), info());
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
        assert!(write(&path, &info()).is_err(), "nothing is written over");
        drop(folder);
        assert!(!path.parent().unwrap().exists());
    }

    #[test]
    fn a_connection_file_that_cannot_be_used_is_named_with_the_reason() {
        let folder = Private::new(None).unwrap();
        let path = folder.join("connection.json");
        assert!(read(&path).unwrap_err().to_string().contains("connection.json: No such file"));
        std::fs::write(&path, "{\"shell_port\": 99999}").unwrap();
        assert!(read(&path).unwrap_err().to_string().contains("connection.json: "));
        for (info, reason) in [
            (ConnectionInfo { transport: Transport::IPC, ..info() }, "only tcp"),
            (ConnectionInfo { signature_scheme: "hmac-md5".to_owned(), ..info() }, "\"hmac-md5\""),
        ] {
            std::fs::remove_file(&path).unwrap();
            write(&path, &info).unwrap();
            assert!(read(&path).unwrap_err().to_string().contains(reason));
        }
    }
}
