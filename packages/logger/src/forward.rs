//! The Forward protocol on one connection: a batch out, its acknowledgement in.

use std::io;

use rmp::encode::{write_array_len, write_map_len, write_str, write_uint};
use serde::Deserialize;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::buffer::Batch;

/// No acknowledgement is longer.
const LONGEST_ANSWER: usize = 4 * 1024;

/// Why a connection is of no more use.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error("{0}")]
    Io(#[from] io::Error),
    #[error("the receiver closed the connection")]
    Closed,
    #[error("no acknowledgement in time")]
    Late,
    #[error(
        "the receiver said something else than an acknowledgement; one that wants a shared key is not supported"
    )]
    Unexpected,
    #[error("the receiver acknowledged another batch")]
    Other,
}

#[derive(Deserialize)]
struct Acknowledgement {
    ack: String,
}

/// Sends a batch and waits until the receiver has it.
pub(crate) async fn deliver(stream: &mut TcpStream, tag: &str, batch: &Batch) -> Result<(), Broken> {
    let (head, tail) = frame(tag, batch)?;
    stream.write_all(&head).await?;
    stream.write_all(&batch.entries).await?;
    stream.write_all(&tail).await?;
    if acknowledgement(stream).await?.ack == batch.chunk { Ok(()) } else { Err(Broken::Other) }
}

/// What stands before and after the entries: `[tag, [entry, …], {"chunk": …, "size": …}]`.
fn frame(tag: &str, batch: &Batch) -> io::Result<(Vec<u8>, Vec<u8>)> {
    let (mut head, mut tail) = (Vec::new(), Vec::new());
    write_array_len(&mut head, 3)?;
    write_str(&mut head, tag)?;
    write_array_len(&mut head, u32::try_from(batch.records).unwrap_or(u32::MAX))?;
    write_map_len(&mut tail, 2)?;
    write_str(&mut tail, "chunk")?;
    write_str(&mut tail, &batch.chunk)?;
    write_str(&mut tail, "size")?;
    write_uint(&mut tail, batch.records as u64)?;
    Ok((head, tail))
}

async fn acknowledgement(stream: &mut TcpStream) -> Result<Acknowledgement, Broken> {
    use rmp_serde::decode::Error::{InvalidDataRead, InvalidMarkerRead};
    let mut answer = Vec::new();
    loop {
        if stream.read_buf(&mut answer).await? == 0 {
            return Err(Broken::Closed);
        }
        match rmp_serde::from_slice(&answer) {
            Ok(acknowledgement) => return Ok(acknowledgement),
            Err(InvalidMarkerRead(error) | InvalidDataRead(error))
                if error.kind() == io::ErrorKind::UnexpectedEof && answer.len() < LONGEST_ANSWER => {}
            Err(_) => return Err(Broken::Unexpected),
        }
    }
}

/// Returns when the receiver ends the connection or speaks unasked.
pub(crate) async fn watch(stream: &TcpStream) -> Broken {
    let mut byte = [0];
    match stream.peek(&mut byte).await {
        Ok(0) => Broken::Closed,
        Ok(_) => Broken::Unexpected,
        Err(error) => error.into(),
    }
}
