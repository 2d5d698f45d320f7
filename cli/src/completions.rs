//! `humerus completions`

use clap::CommandFactory;
use clap_complete::{Shell, generate};
use humerus::Result;

use crate::output;

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The shell to write for
    shell: Shell,
}

impl Args {
    pub fn run(self) -> Result<()> {
        let mut script = Vec::new();
        generate(self.shell, &mut crate::Cli::command(), "humerus", &mut script);
        output::text(String::from_utf8_lossy(&script).trim_end())
    }
}
