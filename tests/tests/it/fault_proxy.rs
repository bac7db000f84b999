//! The proxy of the tests, with a server that returns what it receives.

use std::net::SocketAddr;
use std::time::Duration;

use aaw_tests::fault_proxy::{
    ConnectionPlan, Direction, Fault, FaultPlan, FaultPoint, FaultProxy, Pieces, RandomFaults,
};
use aaw_tests::random::Random;
use aaw_tests::{until, within};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc;

/// Starts a server that returns each byte. Returns its address, and what each connection has received when it has ended.
async fn echo_server() -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let addr = listener.local_addr().unwrap();
    let (ended, received) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let ended = ended.clone();
            tokio::spawn(async move {
                let (mut all, mut buffer) = (Vec::new(), vec![0; 4096]);
                while let Ok(read @ 1..) = stream.read(&mut buffer).await {
                    all.extend_from_slice(&buffer[..read]);
                    if stream.write_all(&buffer[..read]).await.is_err() {
                        break;
                    }
                }
                let _ = ended.send(all);
            });
        }
    });
    (addr, received)
}

fn bytes(len: usize) -> Vec<u8> {
    let mut random = Random::new(7);
    (0..len).map(|_| random.next_u64() as u8).collect()
}

/// Sends `sent` over a new connection, and returns what arrives until the connection ends.
async fn exchange(proxy: &FaultProxy, sent: &[u8]) -> Vec<u8> {
    let stream = TcpStream::connect(proxy.addr()).await.unwrap();
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        let _ = writer.write_all(sent).await;
        let _ = writer.shutdown().await;
    };
    let mut received = Vec::new();
    let read = async {
        let mut buffer = vec![0; 4096];
        while let Ok(read @ 1..) = reader.read(&mut buffer).await {
            received.extend_from_slice(&buffer[..read]);
        }
    };
    within("the end of the connection", String::new, async { tokio::join!(write, read) }).await;
    received
}

#[tokio::test]
async fn every_byte_arrives_in_order_when_nothing_is_cut() {
    let (server, mut received) = echo_server().await;
    let sent = bytes(3_000_000);
    let proxy = FaultProxy::start(server, FaultPlan::none()).await;
    assert!(exchange(&proxy, &sent).await == sent);
    assert!(received.recv().await.unwrap() == sent);
    let stats = proxy.stats();
    assert_eq!((stats.connections, stats.faults()), (1, 0));
    assert_eq!((stats.to_server, stats.to_client), (3_000_000, 3_000_000));
    // In pieces of any size.
    let sent = bytes(20_000);
    for max_bytes in [1, 7, 1000] {
        let pieces = Some(Pieces { max_bytes, max_delay: Duration::from_micros(10) });
        let plan = FaultPlan::Listed(vec![ConnectionPlan { pieces, seed: 3, ..ConnectionPlan::default() }]);
        let proxy = FaultProxy::start(server, plan).await;
        assert!(exchange(&proxy, &sent).await == sent, "in pieces of at most {max_bytes} bytes");
    }
}

#[tokio::test]
async fn an_exact_cut_passes_on_exactly_the_bytes_before_it() {
    let (server, mut received) = echo_server().await;
    let sent = bytes(500_000);
    for n in [0, 1, 2, 1000, 16 << 10, 100_001] {
        let proxy = FaultProxy::start(server, FaultPlan::cuts([(Direction::ToServer, n)])).await;
        let returned = exchange(&proxy, &sent).await;
        let arrived = received.recv().await.unwrap();
        assert!(arrived == sent[..n as usize], "{} bytes, not {n}", arrived.len());
        assert!(sent.starts_with(&returned) && returned.len() as u64 <= n);
        assert_eq!((proxy.stats().closed, proxy.stats().to_server), (1, n));

        let proxy = FaultProxy::start(server, FaultPlan::cuts([(Direction::ToClient, n)])).await;
        let returned = exchange(&proxy, &sent).await;
        assert!(returned == sent[..n as usize], "{} bytes, not {n}", returned.len());
        assert_eq!((proxy.stats().closed, proxy.stats().to_client), (1, n));
        assert!(sent.starts_with(&received.recv().await.unwrap()));
    }
}

#[tokio::test]
async fn each_connection_has_the_next_cut_and_those_after_the_last_have_none() {
    let (server, _received) = echo_server().await;
    let sent = bytes(5000);
    let plan = FaultPlan::cuts([(Direction::ToClient, 10), (Direction::ToServer, 3), (Direction::ToClient, 4000)]);
    let proxy = FaultProxy::start(server, plan).await;
    assert!(exchange(&proxy, &sent).await == sent[..10]);
    assert!(exchange(&proxy, &sent).await.len() <= 3);
    assert!(exchange(&proxy, &sent).await == sent[..4000]);
    assert!(exchange(&proxy, &sent).await == sent);
    assert_eq!((proxy.stats().connections, proxy.stats().faults()), (4, 3));
}

#[tokio::test]
async fn a_black_hole_passes_on_nothing_and_stays_open() {
    let (server, _received) = echo_server().await;
    let fault = (FaultPoint::Bytes(Direction::ToServer, 5), Fault::BlackHole(Duration::MAX));
    let plan = FaultPlan::Listed(vec![ConnectionPlan { fault: Some(fault), ..ConnectionPlan::default() }]);
    let proxy = FaultProxy::start(server, plan).await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    stream.write_all(b"12345").await.unwrap();
    until("the black hole", || proxy.stats().black_holes == 1).await;
    stream.write_all(b"6789").await.unwrap();
    // The response to the bytes before may have passed. After that nothing arrives, not even an end.
    let passed = proxy.stats().to_client as usize;
    let mut buffer = vec![0; passed];
    stream.read_exact(&mut buffer).await.unwrap();
    assert!(b"12345".starts_with(&buffer[..]));
    let more = tokio::time::timeout(Duration::from_millis(50), stream.read_u8()).await;
    assert!(more.is_err(), "{more:?}");
    assert_eq!((proxy.stats().to_server, proxy.stats().faults()), (5, 1));
    // Until the proxy ends.
    drop(proxy);
    within("the end", String::new, stream.read_u8()).await.expect_err("it has ended");
}

#[tokio::test]
async fn a_reset_is_an_error_for_both_and_a_cut_of_all_an_end() {
    let (server, mut received) = echo_server().await;
    let fault = Some((FaultPoint::Bytes(Direction::ToServer, 5), Fault::Reset));
    let plan = FaultPlan::Listed(vec![ConnectionPlan { fault, ..ConnectionPlan::default() }]);
    let proxy = FaultProxy::start(server, plan).await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    stream.write_all(b"12345").await.unwrap();
    let mut all = Vec::new();
    let ended = within("the end", String::new, stream.read_to_end(&mut all)).await;
    assert_eq!(ended.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    received.recv().await.unwrap();

    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    stream.write_all(b"12345").await.unwrap();
    stream.read_exact(&mut [0; 5]).await.unwrap();
    proxy.cut_all();
    assert_eq!(within("the end", String::new, stream.read(&mut [0])).await.unwrap(), 0);
    assert_eq!(received.recv().await.unwrap(), b"12345");
    assert_eq!((proxy.stats().connections, proxy.stats().resets, proxy.stats().closed), (2, 1, 1));
}

#[tokio::test]
async fn connections_that_are_swallowed_stay_open_until_they_are_cut_and_later_ones_work() {
    let (server, mut received) = echo_server().await;
    let proxy = FaultProxy::start(server, FaultPlan::none()).await;
    let mut stream = TcpStream::connect(proxy.addr()).await.unwrap();
    stream.write_all(b"12345").await.unwrap();
    stream.read_exact(&mut [0; 5]).await.unwrap();
    proxy.swallow_all();
    until("the black hole", || proxy.stats().black_holes == 1).await;
    stream.write_all(b"67890").await.unwrap();
    assert!(exchange(&proxy, b"abc").await == b"abc");
    assert_eq!(received.recv().await.unwrap(), b"abc");
    // A second time changes nothing for connections that are swallowed already.
    proxy.swallow_all();
    assert!(exchange(&proxy, b"def").await == b"def");
    assert_eq!(received.recv().await.unwrap(), b"def");
    assert_eq!(stream.try_read(&mut [0]).unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    proxy.cut_all();
    assert!(within("the end", String::new, stream.read(&mut [0])).await.is_err());
    assert_eq!(received.recv().await.unwrap(), b"12345");
    assert_eq!((proxy.stats().connections, proxy.stats().faults()), (3, 1));
}

#[test]
fn a_seed_repeats_its_schedule() {
    let plan = |seed| FaultPlan::Random { seed, faults: RandomFaults::default() };
    let schedule = |seed| {
        let connections: Vec<_> = (0..200).map(|number| plan(seed).connection(number)).collect();
        let pieces = |connection: &ConnectionPlan, direction| connection.pieces(direction).take(20).collect::<Vec<_>>();
        let all = connections.iter();
        let pieces: Vec<_> =
            all.map(|one| (pieces(one, Direction::ToServer), pieces(one, Direction::ToClient))).collect();
        (connections, pieces)
    };
    assert_eq!(schedule(5), schedule(5));
    assert_ne!(schedule(5), schedule(6));
    // It has all kinds of faults.
    let (connections, _) = schedule(5);
    for fault in [Fault::Close, Fault::Reset, Fault::BlackHole(RandomFaults::default().black_hole_time)] {
        assert!(connections.iter().any(|one| one.fault.is_some_and(|(_, kind)| kind == fault)), "{fault:?}");
    }
    assert!(connections.iter().any(|one| matches!(one.fault, Some((FaultPoint::Time(_), _)))));
    assert!(connections.iter().any(|one| one.pieces.is_some()) && connections.iter().any(|one| one.pieces.is_none()));
}
