//! A DNS server with a zone of the test's own, for the switch's resolver: A, SRV and NAPTR records.

use std::net::{Ipv4Addr, UdpSocket};

/// A record: its name, its type (RFC 1035, RFC 2782, RFC 3403) and its data as they are sent.
type Record = (&'static str, u16, Vec<u8>);

/// Starts answering questions, until the test ends.
pub fn serve(records: Vec<Record>) {
    let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 53)).expect("port 53 of the test's own network");
    std::thread::spawn(move || {
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            if let Some(answer) = answer(&packet[..length], &records) {
                let _ = socket.send_to(&answer, from);
            }
        }
    });
}

/// The address of a name.
pub fn a(name: &'static str, address: Ipv4Addr) -> Record {
    (name, 1, address.octets().to_vec())
}

/// Host and port of a service.
pub fn srv(name: &'static str, port: u16, host: &str) -> Record {
    let mut data = vec![0, 0, 0, 0];
    data.extend(port.to_be_bytes());
    data.extend(encoded(host));
    (name, 33, data)
}

/// The service of a domain that is asked next.
pub fn naptr(name: &'static str, service: &str, next: &str) -> Record {
    let mut data = vec![0, 1, 0, 1];
    for text in ["s", service, ""] {
        data.push(u8::try_from(text.len()).expect("a short text"));
        data.extend(text.as_bytes());
    }
    data.extend(encoded(next));
    (name, 35, data)
}

fn encoded(name: &str) -> Vec<u8> {
    let mut data = Vec::new();
    for label in name.split('.') {
        data.push(u8::try_from(label.len()).expect("a short label"));
        data.extend(label.as_bytes());
    }
    data.push(0);
    data
}

fn answer(query: &[u8], records: &[Record]) -> Option<Vec<u8>> {
    let (mut name, mut at) = (Vec::new(), 12);
    loop {
        let length = usize::from(*query.get(at)?);
        if length == 0 {
            break;
        }
        name.push(String::from_utf8_lossy(query.get(at + 1..at + 1 + length)?).to_ascii_lowercase());
        at += 1 + length;
    }
    let name = name.join(".");
    let question = query.get(12..at + 5)?;
    let asked = u16::from_be_bytes([*query.get(at + 1)?, *query.get(at + 2)?]);
    let found: Vec<_> = records.iter().filter(|(of, kind, _)| *of == name && *kind == asked).collect();
    let exists = records.iter().any(|(of, ..)| *of == name);
    let mut packet = query.get(..2)?.to_vec();
    // An answer with authority; a name without any record does not exist.
    packet.extend([0x85, if exists { 0x80 } else { 0x83 }, 0, 1]);
    packet.extend(u16::try_from(found.len()).ok()?.to_be_bytes());
    packet.extend([0, 0, 0, 0]);
    packet.extend(question);
    for (_, kind, data) in found {
        packet.extend([0xc0, 12]);
        packet.extend(kind.to_be_bytes());
        packet.extend([0, 1, 0, 0, 0, 60]);
        packet.extend(u16::try_from(data.len()).ok()?.to_be_bytes());
        packet.extend(data);
    }
    Some(packet)
}
