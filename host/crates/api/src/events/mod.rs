//! The Event History: pages of it, all of it as a file, and a stream of what happens now. No route changes or removes an event.

mod export;
mod filter;
mod list;
mod stream;

pub(crate) use list::*;
pub(crate) use stream::*;
