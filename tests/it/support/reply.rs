//! A reply, taken apart; what is not understood fails the test.

/// What came over the wire.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Reply {
    pub status: String,
    pub fields: Vec<(String, String)>,
    /// The body, decoded.
    pub body: Vec<u8>,
    /// The body has its declared length, or its last chunk; or ended with the connection, in order.
    pub whole: bool,
    /// What came behind the body.
    pub rest: Vec<u8>,
}

impl Reply {
    /// `in_order`: the connection ended without a reset.
    pub fn of(bytes: &[u8], in_order: bool) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap_or_else(|| panic!("no head: {:?}", String::from_utf8_lossy(bytes)));
        let head: String = bytes[..end].iter().map(|byte| char::from(*byte)).collect();
        let (status, fields) = head.split_once("\r\n").unwrap_or((&head, ""));
        let fields: Vec<_> = fields
            .split("\r\n")
            .filter_map(|line| line.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let mut reply = Self { status: status.to_owned(), fields, body: Vec::new(), whole: false, rest: Vec::new() };
        let body = &bytes[end + 4..];
        if reply.field("transfer-encoding") == Some("chunked") {
            reply.chunks(body);
        } else {
            let length = reply.field("content-length").map(|length| length.parse::<usize>().unwrap());
            let taken = length.unwrap_or(body.len()).min(body.len());
            reply.body = body[..taken].to_vec();
            reply.rest = body[taken..].to_vec();
            reply.whole = length.map_or(in_order, |length| length == taken);
        }
        reply
    }

    fn chunks(&mut self, mut bytes: &[u8]) {
        while let Some(end) = bytes.windows(2).position(|window| window == b"\r\n") {
            let size = usize::from_str_radix(std::str::from_utf8(&bytes[..end]).unwrap(), 16).unwrap();
            let chunk = &bytes[end + 2..];
            if size == 0 {
                self.whole = chunk.starts_with(b"\r\n");
                self.rest = chunk.get(2..).unwrap_or_default().to_vec();
                return;
            }
            self.body.extend_from_slice(&chunk[..size.min(chunk.len())]);
            bytes = chunk.get(size + 2..).unwrap_or_default();
        }
    }

    /// The first field of this name.
    pub fn field(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(field, _)| field == name).map(|(_, value)| value.as_str())
    }

    /// All fields of this name.
    pub fn all(&self, name: &str) -> Vec<&str> {
        self.fields.iter().filter(|(field, _)| field == name).map(|(_, value)| value.as_str()).collect()
    }

    /// The status' number.
    pub fn code(&self) -> u16 {
        self.status.split(' ').nth(1).and_then(|code| code.parse().ok()).unwrap_or_else(|| panic!("no status: {}", self.status))
    }

    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}
