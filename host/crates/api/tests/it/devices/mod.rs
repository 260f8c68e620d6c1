//! Devices as they come over plain HTTP, and as administrators see them.

mod agent;
mod contacts;
mod deliveries;
mod enrolment;
mod messages;
mod musts;
mod resources;
mod tasks;
mod transport;
mod users;
