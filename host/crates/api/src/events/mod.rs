//! The Event History: pages of it, and a stream of what happens now.

mod list;
mod stream;

pub(crate) use list::*;
pub(crate) use stream::*;
