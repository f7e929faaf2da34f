//! Secrets of a local mesh: made once, kept in `secrets/` (0600), the same at each start.

use std::fs;
use std::path::PathBuf;

use anyhow::Result;

use crate::files;
use crate::state::State;

/// The secrets of one state folder.
#[derive(Clone)]
pub struct Secrets {
    folder: PathBuf,
}

impl Secrets {
    pub fn of(state: &State) -> Self {
        Self { folder: state.secrets() }
    }

    /// A password of letters and digits (128 bits), made at first use. Safe inside a URL.
    pub fn password(&self, name: &str) -> Result<String> {
        self.hex(name, 16)
    }

    /// The file of a key of 32 random bytes in hex, made at first use.
    pub fn key_file(&self, name: &str) -> Result<PathBuf> {
        self.hex(name, 32)?;
        Ok(self.folder.join(name))
    }

    /// Any text, made at first use.
    pub fn text(&self, name: &str, make: impl FnOnce() -> Result<String>) -> Result<String> {
        let path = self.folder.join(name);
        if let Ok(text) = fs::read_to_string(&path)
            && !text.is_empty()
        {
            return Ok(text);
        }
        let text = make()?;
        files::write_private(&path, &text)?;
        Ok(text)
    }

    fn hex(&self, name: &str, bytes: usize) -> Result<String> {
        let path = self.folder.join(name);
        if let Ok(text) = fs::read_to_string(&path) {
            let text = text.trim();
            if text.len() == bytes * 2 {
                return Ok(text.to_owned());
            }
        }
        let text: String = (0..bytes).map(|_| format!("{:02x}", rand::random::<u8>())).collect();
        files::write_private(&path, &text)?;
        Ok(text)
    }
}
