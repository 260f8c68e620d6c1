//! A server that says what it is told to, byte for byte, whatever it is asked.

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

/// What it does on each connection, one after the other. At the end it closes.
#[derive(Debug, Clone)]
pub enum Step {
    /// Waits until something comes, and reads it.
    Read,
    /// Sends this.
    Write(Vec<u8>),
    /// Takes what comes, and says nothing, until the other side closes.
    Listen,
}

/// A running server. Takes connections as long as the program runs.
#[derive(Debug)]
pub struct Scripted {
    /// On 127.0.0.1.
    pub port: u16,
}

impl Scripted {
    /// Starts one.
    pub fn start(steps: &[Step]) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port is free");
        let port = listener.local_addr().expect("it has an address").port();
        let steps = steps.to_vec();
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let steps = steps.clone();
                std::thread::spawn(move || follow(stream, &steps));
            }
        });
        Self { port }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }
}

/// Ends where the other side closes.
fn follow(mut stream: TcpStream, steps: &[Step]) {
    let mut buffer = vec![0; 64 << 10];
    for step in steps {
        let went = match step {
            Step::Read => stream.read(&mut buffer).is_ok_and(|read| read > 0),
            Step::Write(bytes) => stream.write_all(bytes).is_ok(),
            Step::Listen => {
                while stream.read(&mut buffer).is_ok_and(|read| read > 0) {}
                false
            }
        };
        if !went {
            return;
        }
    }
}
