//! The append-only file. A record is `magic, length, crc32` (little endian, four bytes each) and a payload: one
//! line of JSON (the envelope) and then the message's bytes as they came.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufReader, Read, Write},
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
    sync::Arc,
};

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::Error;

const FILE: &str = "mailbox.ledger";
const MAGIC: [u8; 4] = *b"ALM1";
const HEAD: u64 = 12;
/// Longer than any message and its envelope can be; a length above it is damage, not a record.
const LONGEST: u32 = 256 * 1024 * 1024;

/// What the SMTP conversation said about a message, apart from the message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Envelope {
    pub id: uuid::Uuid,
    pub time: DateTime<Utc>,
    /// Empty for bounces (`MAIL FROM:<>`).
    pub from: String,
    pub to: Vec<String>,
}

/// Where a message's bytes are in the ledger it was read from.
#[derive(Debug, Clone)]
pub struct Place {
    file: Arc<File>,
    offset: u64,
    length: usize,
}

impl Place {
    pub fn size(&self) -> usize {
        self.length
    }

    /// Reads the message's bytes. Blocks. A ledger that was cleared since can still be read: the file lives as
    /// long as somebody holds it.
    pub fn read(&self) -> io::Result<Vec<u8>> {
        let mut bytes = vec![0; self.length];
        self.file.read_exact_at(&mut bytes, self.offset)?;
        Ok(bytes)
    }
}

/// The open ledger; its one owner writes to it.
pub struct Ledger {
    folder: PathBuf,
    file: Arc<File>,
    end: u64,
    /// Held for its lock: a second mailbox on the same folder would mix its records into ours.
    _lock: File,
}

impl Ledger {
    /// Opens or makes the ledger of `folder` and hands every record in it to `each`, oldest first. A torn last
    /// record, which nobody was told of, is cut off.
    pub fn open(folder: &Path, mut each: impl FnMut(Envelope, &[u8], Place)) -> Result<Self, Error> {
        fs::create_dir_all(folder).map_err(io_at("cannot make the folder", folder))?;
        let lock_path = folder.join("lock");
        let lock = File::create(&lock_path).map_err(io_at("cannot make", &lock_path))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => Error::InUse { path: folder.to_owned() },
            fs::TryLockError::Error(source) => Error::Io { action: "cannot lock", path: lock_path, source },
        })?;

        let path = folder.join(FILE);
        let file = open_for_append(&path).map_err(io_at("cannot open", &path))?;
        let file = Arc::new(file);
        let end = replay(&path, &file, &mut each)?;
        sync_folder(folder).map_err(io_at("cannot sync", folder))?;
        Ok(Self { folder: folder.to_owned(), file, end, _lock: lock })
    }

    /// Writes records in one go and returns when they are on the disk. On an error none of them counts: what
    /// was written of them is cut off again.
    pub fn append(&mut self, records: &[(Envelope, Vec<u8>)]) -> io::Result<Vec<Place>> {
        let mut bytes = Vec::with_capacity(records.iter().map(|(_, raw)| raw.len() + 512).sum());
        let mut places = Vec::with_capacity(records.len());
        for (envelope, raw) in records {
            let head = bytes.len();
            bytes.extend_from_slice(&[0; HEAD as usize]);
            serde_json::to_writer(&mut bytes, envelope)?;
            bytes.push(b'\n');
            places.push(Place {
                file: self.file.clone(),
                offset: self.end + bytes.len() as u64,
                length: raw.len(),
            });
            bytes.extend_from_slice(raw);
            let payload = &bytes[head + HEAD as usize..];
            let length = u32::try_from(payload.len()).ok().filter(|length| *length <= LONGEST);
            let length = length.ok_or_else(|| io::Error::other("the message is too long for the ledger"))?;
            let crc = crc32fast::hash(payload);
            bytes[head..head + 4].copy_from_slice(&MAGIC);
            bytes[head + 4..head + 8].copy_from_slice(&length.to_le_bytes());
            bytes[head + 8..head + 12].copy_from_slice(&crc.to_le_bytes());
        }
        let written = (&*self.file).write_all(&bytes).and_then(|()| self.file.sync_data());
        if let Err(error) = written {
            self.file.set_len(self.end)?;
            return Err(error);
        }
        self.end += bytes.len() as u64;
        Ok(places)
    }

    /// Starts an empty ledger in the place of this one.
    pub fn clear(&mut self) -> io::Result<()> {
        let fresh = self.folder.join("mailbox.ledger.new");
        match fs::remove_file(&fresh) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let file = open_for_append(&fresh)?;
        fs::rename(&fresh, self.folder.join(FILE))?;
        sync_folder(&self.folder)?;
        self.file = Arc::new(file);
        self.end = 0;
        Ok(())
    }
}

fn open_for_append(path: &Path) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).open(path)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn io_at(action: &'static str, path: &Path) -> impl FnOnce(io::Error) -> Error + use<> {
    let path = path.to_owned();
    move |source| Error::Io { action, path, source }
}

fn replay(
    path: &Path,
    file: &Arc<File>,
    each: &mut impl FnMut(Envelope, &[u8], Place),
) -> Result<u64, Error> {
    let fail = |source| Error::Io { action: "cannot read", path: path.to_owned(), source };
    let length = file.metadata().map_err(fail)?.len();
    let mut reader = BufReader::with_capacity(1 << 20, &**file);
    let mut at = 0;
    while at < length {
        let Some(payload) = next_record(&mut reader, length - at).map_err(fail)? else {
            cut_or_refuse(path, file, at, length)?;
            return Ok(at);
        };
        let line = payload.iter().position(|byte| *byte == b'\n').unwrap_or(payload.len());
        let Ok(envelope) = serde_json::from_slice::<Envelope>(&payload[..line]) else {
            return Err(Error::Damaged { path: path.to_owned(), offset: at, rest: length - at });
        };
        let raw = &payload[(line + 1).min(payload.len())..];
        let offset = at + HEAD + line as u64 + 1;
        each(envelope, raw, Place { file: file.clone(), offset, length: raw.len() });
        at += HEAD + payload.len() as u64;
    }
    Ok(at)
}

/// The payload of the record that starts here, or nothing if there is no whole one.
fn next_record(reader: &mut impl Read, rest: u64) -> io::Result<Option<Vec<u8>>> {
    if rest < HEAD {
        return Ok(None);
    }
    let mut head = [0; HEAD as usize];
    reader.read_exact(&mut head)?;
    let word = |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (length, crc) = (word(4), word(8));
    if head[..4] != MAGIC || length > LONGEST || u64::from(length) > rest - HEAD {
        return Ok(None);
    }
    let mut payload = vec![0; length as usize];
    reader.read_exact(&mut payload)?;
    Ok((crc32fast::hash(&payload) == crc).then_some(payload))
}

/// A write that was interrupted leaves a record without its end, or zeros where the file had grown before its
/// data came. Anything else before the end is damage to messages that were accepted, and is not ours to drop.
fn cut_or_refuse(path: &Path, file: &File, at: u64, length: u64) -> Result<(), Error> {
    let fail = |source| Error::Io { action: "cannot read", path: path.to_owned(), source };
    let mut rest = vec![0; usize::try_from(length - at).unwrap_or(usize::MAX)];
    file.read_exact_at(&mut rest, at).map_err(fail)?;
    if !is_torn(&rest) {
        return Err(Error::Damaged { path: path.to_owned(), offset: at, rest: length - at });
    }
    tracing::warn!(path = %path.display(), at, bytes = length - at, "torn last record cut off");
    file.set_len(at).and_then(|()| file.sync_all()).map_err(|source| Error::Io {
        action: "cannot cut the torn record of",
        path: path.to_owned(),
        source,
    })
}

fn is_torn(rest: &[u8]) -> bool {
    let known = rest.len().min(4);
    if rest.iter().all(|byte| *byte == 0) || rest.len() < HEAD as usize && rest[..known] == MAGIC[..known] {
        return true;
    }
    let claimed = match rest.get(4..8) {
        Some(&[a, b, c, d]) if rest[..4] == MAGIC => u32::from_le_bytes([a, b, c, d]),
        _ => return false,
    };
    claimed <= LONGEST && HEAD + u64::from(claimed) >= rest.len() as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(n: usize) -> (Envelope, Vec<u8>) {
        let envelope = Envelope {
            id: uuid::Uuid::now_v7(),
            time: Utc::now(),
            from: "shop@artel.test".into(),
            to: vec![format!("reader{n}@artel.test")],
        };
        (envelope, format!("Subject: {n}\r\n\r\n{}\r\n", "текст ".repeat(n)).into_bytes())
    }

    fn reload(folder: &Path) -> Result<Vec<(Envelope, Vec<u8>)>, Error> {
        let mut seen = Vec::new();
        let ledger = Ledger::open(folder, |envelope, raw, place| {
            assert_eq!(place.read().unwrap(), raw);
            seen.push((envelope, raw.to_vec()));
        })?;
        drop(ledger);
        Ok(seen)
    }

    fn written(folder: &Path, records: &[(Envelope, Vec<u8>)]) {
        let mut ledger = Ledger::open(folder, |_, _, _| {}).unwrap();
        let places = ledger.append(records).unwrap();
        for ((_, raw), place) in records.iter().zip(places) {
            assert_eq!(&place.read().unwrap(), raw);
        }
    }

    #[test]
    fn what_was_appended_is_read_again() {
        let folder = tempfile::tempdir().unwrap();
        let records: Vec<_> = (0..5).map(record).collect();
        written(folder.path(), &records[..3]);
        written(folder.path(), &records[3..]);
        assert_eq!(reload(folder.path()).unwrap(), records);
    }

    #[test]
    fn a_torn_last_record_is_cut_at_every_length_and_the_others_stay() {
        let folder = tempfile::tempdir().unwrap();
        let records: Vec<_> = (0..3).map(record).collect();
        written(folder.path(), &records[..2]);
        let path = folder.path().join(FILE);
        let whole = fs::read(&path).unwrap();
        written(folder.path(), &records[2..]);
        let full = fs::read(&path).unwrap();
        for length in whole.len() + 1..full.len() {
            fs::write(&path, &full[..length]).unwrap();
            assert_eq!(reload(folder.path()).unwrap(), records[..2], "torn at {length}");
            assert_eq!(fs::read(&path).unwrap().len(), whole.len());
        }
        let mut grown = whole.clone();
        grown.extend_from_slice(&[0; 4096]);
        fs::write(&path, &grown).unwrap();
        assert_eq!(reload(folder.path()).unwrap(), records[..2], "a grown file without its data");
        written(folder.path(), &records[2..]);
        assert_eq!(reload(folder.path()).unwrap(), records);
    }

    #[test]
    fn damage_before_the_end_refuses_to_start_and_changes_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let records: Vec<_> = (0..3).map(record).collect();
        written(folder.path(), &records);
        let path = folder.path().join(FILE);
        let mut bytes = fs::read(&path).unwrap();
        bytes[40] ^= 0xff;
        fs::write(&path, &bytes).unwrap();
        let Err(error) = reload(folder.path()) else { panic!("a damaged ledger was opened") };
        assert!(matches!(error, Error::Damaged { offset: 0, .. }), "{error}");
        assert_eq!(fs::read(&path).unwrap(), bytes);
    }

    #[test]
    fn a_cleared_ledger_is_empty_but_what_was_held_is_readable() {
        let folder = tempfile::tempdir().unwrap();
        let records: Vec<_> = (0..2).map(record).collect();
        let mut ledger = Ledger::open(folder.path(), |_, _, _| {}).unwrap();
        let places = ledger.append(&records[..1]).unwrap();
        ledger.clear().unwrap();
        ledger.append(&records[1..]).unwrap();
        assert_eq!(places[0].read().unwrap(), records[0].1);
        drop(ledger);
        assert_eq!(reload(folder.path()).unwrap(), records[1..]);
    }

    #[test]
    fn one_folder_has_one_mailbox() {
        let folder = tempfile::tempdir().unwrap();
        let held = Ledger::open(folder.path(), |_, _, _| {}).unwrap();
        assert!(matches!(reload(folder.path()), Err(Error::InUse { .. })));
        drop(held);
        assert!(reload(folder.path()).unwrap().is_empty());
    }
}
