//! Every effect, in order: a line of JSON each. What a vendor knows is made from it again after a restart.

use std::{
    fs::{self, File, OpenOptions, TryLockError},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, MutexGuard, PoisonError},
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use super::Vendor;
use crate::Error;

/// An effect, with its place in the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry<E> {
    /// From 1, without gaps.
    pub number: u64,
    pub time: DateTime<Utc>,
    #[serde(flatten)]
    pub effect: E,
}

/// The ledger and what follows from it.
pub(crate) struct Ledger<V: Vendor>(Mutex<Page<V>>);

/// The ledger while one request has it alone.
pub(crate) struct Page<V: Vendor> {
    vendor: V,
    entries: Vec<Entry<V::Effect>>,
    file: Option<File>,
}

impl<V: Vendor> Ledger<V> {
    /// Reads the ledger in that folder, or begins one. A last line that was being written when the process died is cut off.
    pub fn open(folder: Option<&Path>) -> Result<Self, Error> {
        let mut page = Page { vendor: V::default(), entries: Vec::new(), file: None };
        if let Some(folder) = folder {
            let path = folder.join(format!("{}.jsonl", V::NAME));
            let mut file = open(folder, &path)?;
            page.read(&mut file, &path)?;
            page.file = Some(file);
        }
        Ok(Self(Mutex::new(page)))
    }

    /// Looks and writes with nobody in between.
    pub fn page(&self) -> MutexGuard<'_, Page<V>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<V: Vendor> Page<V> {
    pub fn vendor(&self) -> &V {
        &self.vendor
    }

    /// Writes an effect down, and only then lets it count.
    ///
    /// # Errors
    /// The file cannot be written; then nothing happened.
    pub fn record(&mut self, effect: V::Effect) -> io::Result<&Entry<V::Effect>> {
        let number = self.last() + 1;
        let entry = Entry { number, time: Utc::now(), effect };
        if let Some(file) = &mut self.file {
            let mut line = serde_json::to_vec(&entry)?;
            line.push(b'\n');
            let end = file.stream_position()?;
            if let Err(error) = file.write_all(&line) {
                file.set_len(end)?;
                file.seek(io::SeekFrom::End(0))?;
                return Err(error);
            }
        }
        self.vendor.apply(&entry);
        self.entries.push(entry);
        Ok(&self.entries[self.entries.len() - 1])
    }

    /// The number of the newest entry; 0 before the first.
    pub fn last(&self) -> u64 {
        self.entries.len() as u64
    }

    /// The entries after that number.
    pub fn after(&self, number: u64) -> &[Entry<V::Effect>] {
        let from = usize::try_from(number).unwrap_or(usize::MAX).min(self.entries.len());
        &self.entries[from..]
    }

    /// Forgets everything.
    pub fn clear(&mut self) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            file.set_len(0)?;
            file.rewind()?;
        }
        self.entries.clear();
        self.vendor = V::default();
        Ok(())
    }

    fn read(&mut self, file: &mut File, path: &Path) -> Result<(), Error> {
        let io = |source| Error::Io { path: path.to_owned(), source };
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(io)?;
        let whole = text.iter().rposition(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        file.set_len(whole as u64).map_err(io)?;
        file.seek(io::SeekFrom::End(0)).map_err(io)?;
        for (index, line) in text[..whole].split(|&byte| byte == b'\n').enumerate() {
            if line.is_empty() {
                continue;
            }
            let entry: Entry<V::Effect> = serde_json::from_slice(line).map_err(|source| Error::Damaged {
                path: path.to_owned(),
                line: index + 1,
                source,
            })?;
            self.vendor.apply(&entry);
            self.entries.push(entry);
        }
        Ok(())
    }
}

fn open(folder: &Path, path: &PathBuf) -> Result<File, Error> {
    let io = |source| Error::Io { path: path.clone(), source };
    fs::create_dir_all(folder).map_err(io)?;
    let file =
        OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path).map_err(io)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse { path: path.clone() }),
        Err(TryLockError::Error(source)) => Err(io(source)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Counter(Vec<u32>);

    #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
    struct Counted {
        count: u32,
    }

    impl Vendor for Counter {
        const NAME: &'static str = "counter";
        type Effect = Counted;

        fn apply(&mut self, entry: &Entry<Counted>) {
            self.0.push(entry.effect.count);
        }
    }

    #[test]
    fn what_was_recorded_is_there_after_a_restart_and_a_torn_line_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let ledger = Ledger::<Counter>::open(Some(folder.path())).unwrap();
        for count in [3, 5] {
            ledger.page().record(Counted { count }).unwrap();
        }
        assert!(matches!(Ledger::<Counter>::open(Some(folder.path())), Err(Error::InUse { .. })));
        drop(ledger);

        let path = folder.path().join("counter.jsonl");
        let mut file = OpenOptions::new().append(true).open(&path).unwrap();
        file.write_all(br#"{"number":3,"time":"20"#).unwrap();
        drop(file);
        let ledger = Ledger::<Counter>::open(Some(folder.path())).unwrap();
        assert_eq!(ledger.page().vendor().0, [3, 5]);
        assert_eq!(ledger.page().record(Counted { count: 7 }).unwrap().number, 3);
        drop(ledger);

        let ledger = Ledger::<Counter>::open(Some(folder.path())).unwrap();
        let counts: Vec<u32> = ledger.page().after(1).iter().map(|entry| entry.effect.count).collect();
        assert_eq!(counts, [5, 7]);
        ledger.page().clear().unwrap();
        assert!(ledger.page().vendor().0.is_empty());
        drop(ledger);
        assert!(Ledger::<Counter>::open(Some(folder.path())).unwrap().page().after(0).is_empty());
    }

    #[test]
    fn a_damaged_line_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("counter.jsonl"), "{}\n").unwrap();
        assert!(matches!(Ledger::<Counter>::open(Some(folder.path())), Err(Error::Damaged { line: 1, .. })));
    }
}
