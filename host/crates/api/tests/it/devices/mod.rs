//! Devices as they come over plain HTTP, and as administrators see them.

mod agent;
mod contacts;
mod deliveries;
mod enrolment;
mod musts;
mod resources;
mod transport;
