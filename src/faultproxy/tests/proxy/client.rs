//! A raw HTTP client: a connection per request, nothing repeated, every byte seen.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

const READ_LIMIT: Duration = Duration::from_secs(30);

/// What came back until the connection was closed.
#[derive(Debug)]
pub struct Heard {
    pub head: String,
    pub body: Vec<u8>,
}

impl Heard {
    pub fn status(&self) -> u16 {
        self.head.split(' ').nth(1).unwrap_or_else(|| panic!("no status: {self:?}")).parse().unwrap()
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut fields = self.head.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(field, _)| field.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim())
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.body).unwrap()
    }

    /// Whether the connection was closed without a single byte.
    pub fn is_nothing(&self) -> bool {
        self.head.is_empty() && self.body.is_empty()
    }
}

/// Sends a request and hears until the connection is closed.
pub fn send(to: SocketAddr, method: &str, path: &str, body: &[u8]) -> Heard {
    let mut stream = begin(to, method, path, body);
    let mut heard = Vec::new();
    // A reset instead of an end is an end too; what was read before stays.
    if let Err(error) = stream.read_to_end(&mut heard) {
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset, "{error}");
    }
    split(&heard)
}

/// Sends a request and hears nothing yet.
pub fn begin(to: SocketAddr, method: &str, path: &str, body: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(to).unwrap();
    stream.set_read_timeout(Some(READ_LIMIT)).unwrap();
    let length = body.len();
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: signed.example:99\r\nConnection: close\r\nX-Own: a\r\n\
         Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(head.as_bytes()).unwrap();
    stream.write_all(body).unwrap();
    stream
}

fn split(heard: &[u8]) -> Heard {
    let end = heard.windows(4).position(|window| window == b"\r\n\r\n");
    let (head, body) = end.map_or((heard, &[][..]), |end| (&heard[..end], &heard[end + 4..]));
    Heard { head: String::from_utf8(head.to_vec()).unwrap(), body: body.to_vec() }
}
