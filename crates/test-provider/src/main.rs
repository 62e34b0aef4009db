//! `burnish-test-provider`: the test provider as a program, for benchmarks and for trying things out by hand.

use std::io::{self, Write};

use burnish_test_provider::{Knobs, Provider};
use tokio::net::TcpListener;

const USAGE: &str = "usage: burnish-test-provider [--listen 127.0.0.1:9000] [--knobs JSON]\n\
    The knobs are those of `GET /admin/knobs`, which `PUT /admin/knobs` turns; `GET /admin/counts` counts.";

#[tokio::main]
async fn main() -> io::Result<()> {
    let (address, knobs) = match arguments() {
        Ok(told) => told,
        Err(reason) => return Err(io::Error::other(format!("{reason}\n{USAGE}"))),
    };
    let provider = Provider::listen(TcpListener::bind(&address).await?, knobs)?;
    writeln!(io::stdout(), "{{\"base_url\": \"{}\"}}", provider.base_url())?;
    std::future::pending().await
}

fn arguments() -> Result<(String, Knobs), String> {
    let (mut address, mut knobs) = ("127.0.0.1:9000".to_owned(), Knobs::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(name) = arguments.next() {
        let value = arguments.next().ok_or_else(|| format!("`{name}` is not followed by its value"))?;
        match name.as_str() {
            "--listen" => address = value,
            "--knobs" => {
                knobs = serde_json::from_str(&value).map_err(|error| format!("--knobs: {error}"))?;
            }
            _ => return Err(format!("`{name}` is not known")),
        }
    }
    Ok((address, knobs))
}
