//! The filesystem driver, from outside: through the contract, and on directories as crashes and strangers leave them.

#[cfg(test)]
#[path = "filesystem/crashes.rs"]
mod crashes;
#[cfg(test)]
#[path = "filesystem/hostile_roots.rs"]
mod hostile_roots;
#[cfg(test)]
#[path = "filesystem/init.rs"]
mod init;
#[cfg(test)]
#[path = "filesystem/listing.rs"]
mod listing;
#[cfg(test)]
#[path = "filesystem/objects.rs"]
mod objects;
#[cfg(test)]
#[path = "filesystem/processes.rs"]
mod processes;
#[cfg(test)]
#[path = "filesystem/races.rs"]
mod races;
#[cfg(test)]
#[path = "filesystem/support.rs"]
mod support;
#[cfg(test)]
#[path = "filesystem/uploads.rs"]
mod uploads;
