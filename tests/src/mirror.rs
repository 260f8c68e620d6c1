//! A mirror that collections are refreshed from: nginx, with what it was asked for in its log.

use std::{
    fs,
    net::TcpListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use serde_json::{Value, json};

use crate::{api::eventually, process::Process};

/// A running nginx, and the folder that it serves. Killed when dropped.
pub struct Mirror {
    folder: PathBuf,
    /// What it serves.
    pub files: PathBuf,
    port: u16,
    process: Option<Process>,
}

/// A request that was answered, or that broke off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// Path.
    pub path: String,
    /// Of the answer.
    pub status: u16,
    /// Bytes of the body that were sent.
    pub bytes: u64,
    /// As it was sent, `-` if it was not.
    pub range: String,
    /// As it was sent, `-` if it was not.
    pub authorization: String,
}

impl Mirror {
    /// Starts one in a folder that is there, which sends as fast as it can.
    pub fn start(folder: &Path) -> Self {
        let files = folder.join("files");
        fs::create_dir_all(&files).expect("a folder can be made");
        // Free now, and taken again by the same program at once.
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|free| free.local_addr())
            .expect("a port is free")
            .port();
        let mut mirror = Self { folder: folder.to_owned(), files, port, process: None };
        mirror.again("");
        mirror
    }

    /// Starts it again at the same address, with more for its `location`, such as `limit_rate 1m;`.
    pub fn again(&mut self, location: &str) {
        self.kill();
        let folder = self.folder.display();
        let config = format!(
            "daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
            events {{ worker_connections 256; }}
            http {{
                log_format asked '\"$uri\" $status $body_bytes_sent \"$http_range\" \"$http_authorization\"';
                access_log {folder}/asked.log asked; default_type application/octet-stream;
                client_body_temp_path {folder}/a; proxy_temp_path {folder}/b; fastcgi_temp_path {folder}/c;
                uwsgi_temp_path {folder}/d; scgi_temp_path {folder}/e;
                output_buffers 1 32k; sendfile off;
                server {{ listen 127.0.0.1:{port}; location / {{ root {files}; {location} }} }}
            }}",
            port = self.port,
            files = self.files.display(),
        );
        let file = self.folder.join("nginx.conf");
        fs::write(&file, config).expect("a file can be written");
        let program = if Path::new("/usr/sbin/nginx").exists() { "/usr/sbin/nginx" } else { "nginx" };
        let mut command = Command::new(program);
        command.arg("-p").arg(&self.folder).arg("-c").arg(&file).arg("-e").arg(self.folder.join("error.log"));
        self.process =
            Some(Process::start(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null())));
        eventually("nginx to listen", || std::net::TcpStream::connect(("127.0.0.1", self.port)).ok());
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut process) = self.process.take() {
            process.kill();
        }
    }

    /// URL of a file.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Writes a file.
    pub fn put(&self, path: &str, bytes: &[u8]) {
        let file = self.files.join(path);
        fs::create_dir_all(file.parent().expect("a file is in a folder")).expect("a folder can be made");
        fs::write(file, bytes).expect("a file can be written");
    }

    /// Writes `manifest.json` of all that it serves, with BLAKE3 digests.
    pub fn list(&self) -> Value {
        let mut files = Vec::new();
        let mut folders = vec![self.files.clone()];
        while let Some(folder) = folders.pop() {
            for path in fs::read_dir(folder).expect("a folder can be read").map(|entry| entry.unwrap().path())
            {
                let below = path
                    .strip_prefix(&self.files)
                    .expect("it is below")
                    .to_str()
                    .expect("in UTF-8")
                    .to_owned();
                if path.is_dir() {
                    folders.push(path);
                } else if below != "manifest.json" {
                    let bytes = fs::read(&path).expect("a file can be read");
                    files.push(listed(&below, &bytes));
                }
            }
        }
        let manifest = json!({ "files": files });
        self.write_list(&manifest);
        manifest
    }

    /// Writes a manifest as it is.
    pub fn write_list(&self, manifest: &Value) {
        self.put("manifest.json", manifest.to_string().as_bytes());
    }

    /// What it was asked for since the last call, in the order of their ends.
    pub fn asked(&self) -> Vec<Asked> {
        let file = self.folder.join("asked.log");
        let text = fs::read_to_string(&file).unwrap_or_default();
        let asked = text.lines().map(|line| {
            let quoted: Vec<&str> = line.split('"').collect();
            let words: Vec<&str> = quoted[2].split_whitespace().collect();
            Asked {
                path: quoted[1].trim_start_matches('/').to_owned(),
                status: words[0].parse().expect("a status"),
                bytes: words[1].parse().expect("a number"),
                range: quoted[3].to_owned(),
                authorization: quoted[5].to_owned(),
            }
        });
        let asked = asked.collect();
        fs::OpenOptions::new().write(true).truncate(true).open(file).expect("a log can be emptied");
        asked
    }
}

/// A file as a manifest lists it.
pub fn listed(path: &str, bytes: &[u8]) -> Value {
    json!({ "path": path, "size": bytes.len(), "blake3": blake3::hash(bytes).to_hex().as_str() })
}
