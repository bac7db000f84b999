//! What an attack has: the address to attack, the places to come from, a bounded speed, a time to end, and connections whose
//! fate is recorded. An attack runs on one thread, with a lower priority than the server and the well-behaved clients.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

use tokio::io::Interest;
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout, timeout_at};

use crate::client::{close_label, status, upgrade_request};
use crate::frames::{self, CLOSE, FrameReader, TEXT};
use crate::machine::{cpu_of_this_thread, set_niceness_of_this_thread};
use crate::outcomes::{OutcomeReport, Outcomes, failure_code};
use crate::pace::Pace;
use crate::sources::Sources;

/// The server has the processors first. Lower priorities would stop an attack wherever other programs run.
const NICENESS: i32 = 10;

/// How long connecting may take.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// The pause of an attacker between the end of a connection and its next one.
const RETURN_DELAY: Duration = Duration::from_millis(50);

/// How long attackers have at the end to look at what they were sent.
const LAST_LOOK: Duration = Duration::from_millis(500);

/// How often a connection is read at its end. What its socket holds is less.
const LAST_READS: u32 = 512;

/// How many connections an attack opens in a second at most.
const OPENINGS: f64 = 4000.0;

/// See the module.
pub(crate) struct Field {
    pub(crate) target: SocketAddr,
    pub(crate) sources: Sources,
    pub(crate) until: Instant,
    /// How many connections attack at a time.
    pub(crate) connections: usize,
    /// Of the bytes that are sent.
    pub(crate) pace: Pace,
    openings: Pace,
    outcomes: Outcomes,
}

/// What an attack has done.
#[derive(Debug, Default)]
pub(crate) struct AttackReport {
    pub(crate) outcomes: OutcomeReport,
    pub(crate) bytes: u64,
    pub(crate) connections: u64,
    pub(crate) time: Duration,
    pub(crate) cpu: Duration,
}

/// How an attack is bounded.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    pub(crate) time: Duration,
    pub(crate) bytes_per_second: f64,
    pub(crate) connections: usize,
}

/// An attack, as code.
pub(crate) type AttackFn = fn(Rc<Field>) -> std::pin::Pin<Box<dyn Future<Output = ()>>>;

/// Runs an attack on a thread of its own. Its connections are closed when this returns.
pub(crate) fn run(attack: AttackFn, target: SocketAddr, sources: Sources, bounds: Bounds) -> io::Result<AttackReport> {
    let thread = std::thread::Builder::new().name("attack".to_owned()).spawn(move || {
        set_niceness_of_this_thread(NICENESS);
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let begun = std::time::Instant::now();
        let outcomes = Outcomes::default();
        let (bytes, connections) = tokio::task::LocalSet::new().block_on(&runtime, async {
            let field = Rc::new(Field {
                target,
                sources,
                until: Instant::now() + bounds.time,
                connections: bounds.connections,
                pace: Pace::new(bounds.bytes_per_second),
                openings: Pace::new(OPENINGS),
                outcomes: outcomes.clone(),
            });
            // The attacks look at the time themselves; this ends one that does not.
            let _ = timeout(bounds.time + CONNECT_TIMEOUT, attack(Rc::clone(&field))).await;
            (field.pace.passed(), field.openings.passed())
        });
        drop(runtime);
        let (time, cpu) = (begun.elapsed(), cpu_of_this_thread());
        Ok(AttackReport { outcomes: outcomes.into_report(), bytes, connections, time, cpu })
    })?;
    thread.join().unwrap_or_else(|_| Err(io::Error::other("the attack panicked")))
}

impl Field {
    pub(crate) fn is_over(&self) -> bool {
        Instant::now() >= self.until
    }

    /// Runs an attacker for each connection, each again and again, until the time is over.
    pub(crate) async fn crowd<F: Future<Output = ()> + 'static>(
        self: &Rc<Self>,
        attacker: impl Fn(Rc<Self>, usize) -> F + Clone + 'static,
    ) {
        let mut crowd = JoinSet::new();
        for number in 0..self.connections {
            let (field, attacker) = (Rc::clone(self), attacker.clone());
            crowd.spawn_local(async move {
                while !field.is_over() {
                    attacker(Rc::clone(&field), number).await;
                    sleep(RETURN_DELAY).await;
                }
            });
        }
        // Those that have stood still look at what they were sent.
        let _ = timeout_at(self.until + LAST_LOOK, async { while crowd.join_next().await.is_some() {} }).await;
    }
}

/// What a look at a connection has shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Read {
    Something,
    Nothing,
    Ended,
}

/// What a connection carries.
#[derive(Debug)]
enum Carries {
    Http,
    WebSocket(FrameReader),
}

/// A connection of an attacker. What the server does to it is recorded.
pub(crate) struct Conn {
    field: Rc<Field>,
    socket: TcpStream,
    begun: Instant,
    carries: Carries,
    /// Whether what the server sends is read while something is sent.
    pub(crate) reads: bool,
    has_ended: bool,
    /// What the server has sent last, to tell why it has closed the connection.
    close: Option<String>,
}

impl Conn {
    /// Opens a connection. `None` if that has failed, which is recorded.
    pub(crate) async fn http(field: &Rc<Field>, number: usize) -> Option<Self> {
        field.openings.pass(1).await;
        let begun = Instant::now();
        let connect = async {
            let socket = field.sources.attacker(number).socket()?;
            socket.set_nonblocking(true)?;
            // Closing the connection leaves nothing behind, so that ports do not run out.
            socket.set_linger(Some(Duration::ZERO))?;
            TcpSocket::from_std_stream(socket.into()).connect(field.target).await
        };
        let socket = match timeout(CONNECT_TIMEOUT, connect).await {
            Ok(Ok(socket)) => socket,
            Ok(Err(error)) => {
                field.outcomes.add(&format!("connect: {}", error.kind()), begun.elapsed());
                return None;
            }
            Err(_) => {
                field.outcomes.add("connect: no answer", begun.elapsed());
                return None;
            }
        };
        let (field, carries) = (Rc::clone(field), Carries::Http);
        Some(Self { field, socket, begun, carries, reads: true, has_ended: false, close: None })
    }

    /// Opens a WebSocket, and sends the hello. `None` if that has failed, which is recorded.
    pub(crate) async fn web_socket(field: &Rc<Field>, number: usize) -> Option<Self> {
        let mut conn = Self::http(field, number).await?;
        let request = upgrade_request(field.target, &field.sources.attacker(number));
        if !conn.send(request.as_bytes()).await {
            return None;
        }
        let head = conn.read_head().await?;
        if status(&head) != Some(101) {
            conn.end(&format!("HTTP {}", status(&head).unwrap_or_default()));
            return None;
        }
        conn.carries = Carries::WebSocket(FrameReader::default());
        conn.send(&frames::text(r#"["aaw/hello",{}]"#)).await.then_some(conn)
    }

    /// Reads the head of the response.
    async fn read_head(&mut self) -> Option<Vec<u8>> {
        let mut head = Vec::new();
        // Byte by byte, so that nothing behind it is read.
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            let readable = timeout_at(self.field.until, self.socket.readable()).await;
            match readable.map(|ready| ready.and_then(|()| self.socket.try_read(&mut byte))) {
                Ok(Ok(1)) => head.extend_from_slice(&byte),
                Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => {}
                Ok(Ok(_)) => {
                    self.end("closed without a response");
                    return None;
                }
                Ok(Err(error)) => {
                    self.end(&error.kind().to_string());
                    return None;
                }
                Err(_) => {
                    self.end("no response to the handshake");
                    return None;
                }
            }
        }
        Some(head)
    }

    /// Sends all bytes, at the attack's pace and as fast as the server reads them. Returns false if the connection has ended
    /// or the time is over.
    pub(crate) async fn send(&mut self, bytes: &[u8]) -> bool {
        self.field.pace.pass(bytes.len()).await;
        let mut unsent = bytes;
        while !unsent.is_empty() {
            let interest = if self.reads { Interest::READABLE | Interest::WRITABLE } else { Interest::WRITABLE };
            match timeout_at(self.field.until, self.socket.ready(interest)).await {
                Ok(Ok(ready)) => {
                    if ready.is_readable() && self.reads && self.read() == Read::Ended {
                        return false;
                    }
                    if !ready.is_writable() {
                        continue;
                    }
                    match self.socket.try_write(unsent) {
                        Ok(len) => unsent = &unsent[len..],
                        Err(error) if error.kind() == ErrorKind::WouldBlock => {}
                        Err(_) => {
                            // What the server has sent before it closed the connection says why.
                            self.look();
                            self.end("reset");
                            return false;
                        }
                    }
                }
                Ok(Err(error)) => {
                    self.end(&error.kind().to_string());
                    return false;
                }
                Err(_) => return false,
            }
        }
        !self.field.is_over()
    }

    /// Reads until the connection ends or the time is over. Returns whether the connection is open.
    pub(crate) async fn watch(&mut self) -> bool {
        loop {
            match timeout_at(self.field.until, self.socket.readable()).await {
                Ok(Ok(())) => {
                    if self.read() == Read::Ended {
                        return false;
                    }
                }
                Ok(Err(error)) => {
                    self.end(&error.kind().to_string());
                    return false;
                }
                Err(_) => return true,
            }
        }
    }

    /// Does nothing, not even reading, until the time is over.
    pub(crate) async fn stand_still(&self) {
        tokio::time::sleep_until(self.field.until).await;
    }

    /// Closes the connection.
    pub(crate) fn leave(mut self) {
        self.end("served, and left");
    }

    /// Reads what has arrived.
    pub(crate) fn look(&mut self) {
        // Bounded: a stream has no end.
        for _ in 0..LAST_READS {
            if self.read() != Read::Something {
                return;
            }
        }
    }

    /// Reads a part of what there is.
    fn read(&mut self) -> Read {
        let mut buffer = [0; 16 << 10];
        match self.socket.try_read(&mut buffer) {
            Ok(0) => {
                self.end("closed without a frame");
                Read::Ended
            }
            Ok(len) => {
                self.look_at(&buffer[..len]);
                Read::Something
            }
            // Readiness may be wrong, and is corrected by this.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Read::Nothing,
            Err(error) => {
                self.end(if error.kind() == ErrorKind::ConnectionReset { "reset" } else { "failed" });
                Read::Ended
            }
        }
    }

    fn look_at(&mut self, bytes: &[u8]) {
        let (outcomes, after) = (&self.field.outcomes, self.begun.elapsed());
        match &mut self.carries {
            Carries::Http => {
                // A response begins with its status; several may have arrived.
                for at in bytes.windows(9).enumerate().filter(|(_, window)| window == b"HTTP/1.1 ").map(|(at, _)| at) {
                    if let Some(status) = status(&bytes[at..]) {
                        outcomes.add(&format!("HTTP {status}"), after);
                        self.close = Some(String::new());
                    }
                }
            }
            Carries::WebSocket(reader) => reader.feed(bytes, |opcode, sample| match opcode {
                TEXT => {
                    if let Some(code) = failure_code(sample) {
                        outcomes.add(&format!("code {code}"), after);
                    }
                }
                CLOSE => self.close = Some(close_label(sample)),
                _ => {}
            }),
        }
    }

    /// Records the end of the connection, unless the server has said more about it before.
    fn end(&mut self, how: &str) {
        if self.has_ended {
            return;
        }
        self.has_ended = true;
        match self.close.take() {
            // A response tells enough.
            Some(close) if close.is_empty() => {}
            Some(close) => self.field.outcomes.add(&close, self.begun.elapsed()),
            None => self.field.outcomes.add(how, self.begun.elapsed()),
        }
    }
}

impl Drop for Conn {
    fn drop(&mut self) {
        self.end("open until the attack ended");
    }
}
