//! The file of a backup: a tar archive under zstd. First `backup.json`, which names each file with size and digest; then the
//! files, in that order. What is not named there, is not whole or is another content makes the backup damaged.

use std::{
    fs::{File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{cannot, parent, sync_folder};
use crate::{DataFolder, Error, Result};

/// What a backup says of itself.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Manifest {
    format: u32,
    /// When it was made.
    pub made_at: Timestamp,
    /// Version that made it.
    pub made_by: String,
    /// Schema of the database, if it is in it.
    schema: Option<i64>,
    files: Vec<Member>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Member {
    name: String,
    size: u64,
    blake3: String,
}

const FORMAT: u32 = 1;
const MANIFEST: &str = "backup.json";
const MAX_MANIFEST: u64 = 64 * 1024;
/// What a data folder can get back from a backup.
const KNOWN: [&str; 3] = [DataFolder::IDENTITY, DataFolder::KEY, DataFolder::DATABASE];

impl Manifest {
    /// Whether a file is in it.
    pub fn holds(&self, name: &str) -> bool {
        self.files.iter().any(|file| file.name == name)
    }
}

/// Writes a backup of `members` (name and file) to a new file; says how large it is.
pub(super) fn write(
    output: &Path,
    members: &[(&str, PathBuf)],
    schema: Option<i64>,
    made_at: Timestamp,
) -> Result<u64> {
    let mut files = Vec::new();
    for (name, path) in members {
        let file = File::open(path).map_err(|error| cannot(path, &error))?;
        let (size, blake3) = copy_hashing(file, io::sink()).map_err(|error| cannot(path, &error))?;
        files.push(Member { name: (*name).to_owned(), size, blake3 });
    }
    let made_by = env!("CARGO_PKG_VERSION").to_owned();
    let manifest = Manifest { format: FORMAT, made_at, made_by, schema, files };
    let json = serde_json::to_vec_pretty(&manifest).map_err(Error::internal)?;
    let folder = parent(output);
    let pack = || -> io::Result<u64> {
        let part = tempfile::Builder::new().prefix(".syncline-").tempfile_in(folder)?;
        let mut encoder = zstd::Encoder::new(part.as_file(), 3)?;
        encoder.include_checksum(true)?;
        let mut tar = tar::Builder::new(encoder);
        append(&mut tar, MANIFEST, json.len() as u64, json.as_slice())?;
        for (member, (_, path)) in manifest.files.iter().zip(members) {
            append(&mut tar, &member.name, member.size, File::open(path)?)?;
        }
        tar.into_inner()?.finish()?;
        part.as_file().sync_all()?;
        let size = part.as_file().metadata()?.len();
        part.persist_noclobber(output).map_err(|error| error.error)?;
        Ok(size)
    };
    let size = pack().map_err(|error| cannot(output, &error))?;
    sync_folder(folder)?;
    Ok(size)
}

fn append(tar: &mut tar::Builder<impl Write>, name: &str, size: u64, content: impl Read) -> io::Result<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(size);
    header.set_mode(0o600);
    header.set_entry_type(tar::EntryType::Regular);
    tar.append_data(&mut header, name, content)
}

/// Unpacks a backup into an empty folder, and holds it against its own manifest.
pub(super) fn read(input: &Path, into: &Path) -> Result<Manifest> {
    let damaged = |why: String| {
        let message = format!("{} is no backup, or a damaged one ({why}): take another one", input.display());
        Error::invalid("backup-damaged", message)
    };
    let file = File::open(input).map_err(|error| cannot(input, &error))?;
    let decoder = zstd::Decoder::new(file).map_err(|error| damaged(error.to_string()))?;
    let mut tar = tar::Archive::new(decoder);
    let mut entries = tar.entries().map_err(|error| damaged(error.to_string()))?;
    let mut next = |name: &str| {
        let entry =
            entries.next().ok_or_else(|| format!("{name} is missing"))?.map_err(|error| error.to_string())?;
        let found = entry.path().map_err(|error| error.to_string())?.display().to_string();
        let regular = entry.header().entry_type() == tar::EntryType::Regular;
        if regular && found == name {
            Ok(entry)
        } else {
            Err(format!("{found:?} stands where {name} belongs"))
        }
    };
    let manifest = {
        let mut json = Vec::new();
        let entry = next(MANIFEST).map_err(damaged)?;
        entry.take(MAX_MANIFEST).read_to_end(&mut json).map_err(|error| damaged(error.to_string()))?;
        serde_json::from_slice::<Manifest>(&json).map_err(|error| damaged(error.to_string()))?
    };
    check(&manifest, input)?;
    for member in &manifest.files {
        let entry = next(&member.name).map_err(damaged)?;
        let path = into.join(&member.name);
        let out = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        let out = out.map_err(|error| cannot(&path, &error))?;
        let (size, blake3) = copy_hashing(entry, &out).map_err(|error| damaged(error.to_string()))?;
        if (size, &blake3) != (member.size, &member.blake3) {
            return Err(damaged(format!("{} is not what was saved", member.name)));
        }
        out.sync_all().map_err(|error| cannot(&path, &error))?;
    }
    // To its end, where the checksum of the whole stands.
    io::copy(&mut tar.into_inner(), &mut io::sink()).map_err(|error| damaged(error.to_string()))?;
    sync_folder(into)?;
    Ok(manifest)
}

fn check(manifest: &Manifest, input: &Path) -> Result<()> {
    let refuse = |why: String| Err(Error::invalid("backup-unknown", format!("{}: {why}", input.display())));
    if manifest.format != FORMAT {
        let made_by = &manifest.made_by;
        return refuse(format!(
            "it was made by version {made_by} in a format that this one does not know: use that version"
        ));
    }
    if let Some(schema) = manifest.schema.filter(|schema| *schema > syncline_store::known_schema()) {
        let made_by = &manifest.made_by;
        return refuse(format!(
            "its database has schema {schema} of version {made_by}: use that version or a later one"
        ));
    }
    let mut names: Vec<&str> = manifest.files.iter().map(|file| file.name.as_str()).collect();
    names.sort_unstable();
    match names
        .iter()
        .find(|name| !KNOWN.contains(name))
        .or_else(|| names.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| &pair[0]))
    {
        Some(name) => refuse(format!("{name:?} does not belong into a data folder")),
        None if !manifest.holds(DataFolder::IDENTITY) => {
            refuse(format!("{} is missing", DataFolder::IDENTITY))
        }
        None => Ok(()),
    }
}

/// Copies to the end; how much it was, and its digest.
fn copy_hashing(mut from: impl Read, mut to: impl Write) -> io::Result<(u64, String)> {
    let mut hasher = blake3::Hasher::new();
    let mut buffer = vec![0; 256 * 1024];
    let mut size = 0;
    loop {
        let read = from.read(&mut buffer)?;
        if read == 0 {
            return Ok((size, hasher.finalize().to_hex().to_string()));
        }
        hasher.update(&buffer[..read]);
        to.write_all(&buffer[..read])?;
        size += read as u64;
    }
}
