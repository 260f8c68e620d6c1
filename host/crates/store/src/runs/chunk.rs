//! Many small records as few rows: JSON lines, compressed with zstd.
//!
//! A run has up to millions of operations, which are written once and read seldom. As rows they would cost more than the
//! copying of small files itself.

use serde::{Serialize, de::DeserializeOwned};

use crate::error::{Error, Result};

/// Most records of a chunk.
pub(crate) const CHUNK: usize = 2_000;

/// Level 1: what is gained beyond it costs more time than the bytes are worth.
const LEVEL: i32 = 1;

/// The records of a chunk, encoded.
pub(crate) fn encode<T: Serialize>(records: &[T]) -> Result<Vec<u8>> {
    let mut lines = Vec::with_capacity(records.len() * 160);
    for record in records {
        serde_json::to_writer(&mut lines, record).map_err(Error::encode)?;
        lines.push(b'\n');
    }
    zstd::bulk::compress(&lines, LEVEL).map_err(Error::encode)
}

/// The records of a chunk. The error says what is wrong with it.
pub(crate) fn decode<T: DeserializeOwned>(body: &[u8]) -> Result<Vec<T>, String> {
    let lines = zstd::stream::decode_all(body).map_err(|error| error.to_string())?;
    let lines = lines.split(|&byte| byte == b'\n').filter(|line| !line.is_empty());
    lines.map(|line| serde_json::from_slice(line).map_err(|error| error.to_string())).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(records in proptest::collection::vec(".{0,20}", 0..50)) {
            prop_assert_eq!(decode::<String>(&encode(&records).unwrap()).unwrap(), records);
        }

        #[test]
        fn damage_is_told_and_never_a_crash(body in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = decode::<String>(&body);
        }
    }
}
