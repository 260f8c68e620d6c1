//! Looks for a text that this guest must never get to see, wherever it could be.

use syncline_plugin::{prelude::*, raw::syncline::plugin as raw};

use crate::talk;

/// `backwards` is the text from its end, so that it is nowhere by the guest's own doing.
pub(crate) fn look_for(backwards: &str, source: Option<&str>, base: &str) -> Result<()> {
    if backwards.is_empty() {
        return Err(Failure::settings("`backwards` is to say what to look for"));
    }
    let needle = backwards.as_bytes();
    let settings = raw::settings::get();
    look("its settings", settings.as_bytes(), needle)?;
    for source in directory_sources() {
        look("the sources", format!("{source:?}").as_bytes(), needle)?;
    }
    let session = talk::connect(source)?;
    look("the name of the server", session.server().as_bytes(), needle)?;
    let names = talk::search(&session, base)?;
    names.iter().try_for_each(|name| look("the answers", name.as_bytes(), needle))?;
    // What the host says of what went wrong.
    for refusal in [talk::connect(Some("not-granted")), talk::follow(source, "ldap://elsewhere.example/")] {
        if let Err(failure) = refusal {
            look("a failure", failure.message().as_bytes(), needle)?;
        }
    }
    look("its memory", memory(), needle)
}

pub(crate) fn look(place: &str, bytes: &[u8], backwards: &[u8]) -> Result<()> {
    let found = bytes.windows(backwards.len()).any(|window| window.iter().rev().eq(backwards));
    if found { Err(Failure::bug(format!("it was found in {place}")).with_code("found")) } else { Ok(()) }
}

/// All that this instance has, whatever it is used for.
#[cfg(target_family = "wasm")]
#[allow(unsafe_code, reason = "looks at all of the memory, as an attacker would")]
pub(crate) fn memory() -> &'static [u8] {
    const PAGE: usize = 64 << 10;
    let bytes = core::arch::wasm32::memory_size(0) * PAGE;
    // Address 0 is no address in Rust, so it begins behind it.
    unsafe { std::slice::from_raw_parts(std::hint::black_box(1 as *const u8), bytes - 1) }
}

#[cfg(not(target_family = "wasm"))]
pub(crate) fn memory() -> &'static [u8] {
    &[]
}
