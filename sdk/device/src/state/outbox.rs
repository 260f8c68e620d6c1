//! Items that must not get lost: kept until the server has acknowledged them.

use prost::Message as _;
use syncline_protocol::items::{Id, Item, Items};

use super::StateFolder;
use crate::error::{Error, Result};

const FILE: &str = "outbox";

/// Items that wait; the oldest go first when a server never acknowledges.
const MOST: usize = 1_000;

/// The items that wait for their acknowledgement, oldest first.
pub fn load(state: &StateFolder) -> Result<Vec<Item>> {
    let Some(bytes) = state.bytes(FILE)? else { return Ok(Vec::new()) };
    let damaged = |error: prost::DecodeError| Error::Damaged {
        path: state.at(FILE).display().to_string(),
        why: error.to_string(),
    };
    Ok(Items::decode(bytes.as_slice()).map_err(damaged)?.items)
}

/// Adds an item, unless one with its id waits already.
pub fn add(state: &StateFolder, item: &Item) -> Result<()> {
    let mut items = load(state)?;
    if items.iter().any(|one| one.id == item.id) {
        return Ok(());
    }
    let surplus = (items.len() + 1).saturating_sub(MOST);
    items.drain(..surplus);
    items.push(item.clone());
    save(state, items)
}

/// Forgets those that were acknowledged.
pub fn forget(state: &StateFolder, acknowledged: &[Id]) -> Result<()> {
    let mut items = load(state)?;
    let before = items.len();
    items.retain(|item| !item.parsed_id().is_ok_and(|id| acknowledged.contains(&id)));
    if items.len() == before { Ok(()) } else { save(state, items) }
}

fn save(state: &StateFolder, items: Vec<Item>) -> Result<()> {
    state.write_bytes(FILE, &Items { items, received: Vec::new() }.encode_to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_wait_until_they_are_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let state = StateFolder::open(folder.path()).unwrap();
        let item = |id: u8| Item { id: vec![id; 16], ..Item::default() };
        for id in [1, 2, 1] {
            add(&state, &item(id)).unwrap();
        }
        assert_eq!(load(&state).unwrap(), [item(1), item(2)]);
        forget(&state, &[Id::new([1; 16]), Id::new([9; 16])]).unwrap();
        assert_eq!(load(&state).unwrap(), [item(2)]);
    }
}
