//! What the crate promises, on real folders and through its public face alone.

mod copying;
mod damage;
mod declarations;
mod harness;
mod hostile;
mod lease;
mod marks;
mod nested;
mod reading;
mod resume;
mod stages;
mod trouble;
