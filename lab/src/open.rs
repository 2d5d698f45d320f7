//! `cargo lab open`: JupyterLab with the kernel ready.

use std::ffi::OsString;
use std::iter::once;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;

use crate::problem::{Problem, Result};
use crate::setup::{self, cache};

/// JupyterLab's settings where the user has chosen none: it does not ask whether to fetch news, nor look for a version
/// of itself other than the pinned one.
const SETTINGS: &str = r#"{
  "@jupyterlab/apputils-extension:notification": {"fetchNews": "false", "checkForUpdates": false}
}
"#;

/// What to open.
#[derive(Debug, Clone, clap::Args)]
pub struct Args {
    /// A notebook by name or path
    pub notebook: Option<PathBuf>,
    /// Passed to JupyterLab, for example `-- --no-browser --port 9999`
    #[arg(last = true)]
    pub jupyter: Vec<OsString>,
}

/// `cargo lab open`.
pub fn run(options: &Args) -> Result<bool> {
    let checkout = crate::checkout::Checkout::find()?;
    let notebook = options.notebook.as_ref().map(|name| checkout.notebook(name)).transpose()?;
    let ready = setup::complete_and_warm()?;
    // The server shows the checkout; a notebook from elsewhere, its own folder.
    let root = match &notebook {
        Some(path) if !path.starts_with(&checkout.root) => path.parent().map(PathBuf::from),
        _ => None,
    }
    .unwrap_or_else(|| checkout.root.clone());
    // In a folder that this server alone looks into: neither the user's settings nor the environment's are touched.
    let config = ready.cache.join("jupyter");
    cache::write_if_changed(&config.join("labconfig/default_setting_overrides.json"), SETTINGS.as_bytes())?;
    let mut command = ready.command(&ready.python.python);
    command.env("JUPYTER_CONFIG_PATH", setup::join_paths(once(config).chain(setup::inherited("JUPYTER_CONFIG_PATH"))));
    command.args(["-m", "jupyterlab"]).arg("--ServerApp.root_dir").arg(&root).current_dir(&root);
    if let Some(path) = &notebook {
        command.arg(path);
    }
    let error = command.args(&options.jupyter).exec();
    Err(Problem::new(format!("cannot start JupyterLab: {error}")))
}
