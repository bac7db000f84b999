//! The test events in a process of their own, so that tests can measure its memory. Prints `{"port":N}` when it
//! listens, and the number of open connections for each line on standard input. Stops when standard input ends.

use aaw_server::{Config, Events, Server};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    aaw_tests::raise_open_file_limit();
    let rooms = Events::new(aaw_test_rooms::module()).under("rooms");
    let server = Server::new(Config { port: 0, ..Config::default() }).events(aaw_test_events::module()).events(rooms);
    let server = server.bind().await?;
    let handle = server.handle();
    println!("{{\"port\":{}}}", server.local_addr().port());
    server
        .serve(async move {
            let mut lines = BufReader::new(tokio::io::stdin()).lines();
            while let Ok(Some(_)) = lines.next_line().await {
                println!("{}", handle.connections());
            }
        })
        .await;
    Ok(())
}
