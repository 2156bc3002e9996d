//! Counts the frames of HTTP/2 that cost the sender nothing and have to be answered: PING and SETTINGS.
//!
//! The library answers as many as come. gRPC asks servers to close connections that ping too much
//! (grpc/proposal A8); here, one that sends such frames and hardly anything else. Clients measure the
//! line with pings while messages flow, so messages earn some.
//!
//! It also tells whether a frame, or a block of headers with its CONTINUATION frames, is begun and not
//! finished: the library waits for the rest for as long as the connection lasts.

use std::time::Duration;

use tokio::time::Instant as Moment;

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
/// The length of a frame's head (RFC 9113, 4.1).
const HEAD: usize = 9;
const DATA: u8 = 0;
const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
const PING: u8 = 6;
const CONTINUATION: u8 = 9;
/// The answer to a PING or SETTINGS of ours, which has the flag ACK.
const ACK: u8 = 1;
/// The last frame of a block of headers.
const END_HEADERS: u8 = 4;

/// How many are allowed after a pause.
const MOST: u32 = 2000;
/// One more is allowed after so long.
const EVERY: Duration = Duration::from_millis(1);
/// How many each DATA or HEADERS earns.
const EARNED: u32 = 4;

/// Follows what a client sends, head by head.
#[derive(Debug)]
pub(super) struct FrameCounter {
    state: State,
    left: u32,
    /// Until when `left` has been filled up.
    filled: Moment,
    /// Whether a block of headers is still without its last frame.
    is_block_open: bool,
    /// How many frames and blocks have come whole.
    whole: u64,
}

#[derive(Debug)]
enum State {
    /// So many bytes of the preface have come.
    Preface(usize),
    /// So many bytes of a head have come.
    Head([u8; HEAD], usize),
    /// So many bytes of a payload are still to come.
    Payload(usize),
    /// It is not HTTP/2.
    Other,
}

impl FrameCounter {
    pub(super) fn new(now: Moment) -> Self {
        let (is_block_open, whole) = (false, 0);
        Self { state: State::Preface(0), left: MOST, filled: now, is_block_open, whole }
    }

    /// Whether this is still a client as others are, after these bytes.
    pub(super) fn admits(&mut self, mut bytes: &[u8], now: Moment) -> bool {
        while let Some((&first, rest)) = bytes.split_first() {
            match &mut self.state {
                State::Other => return true,
                State::Preface(came) => {
                    if PREFACE.get(*came) != Some(&first) {
                        self.state = State::Other;
                        return true;
                    }
                    *came += 1;
                    if *came == PREFACE.len() {
                        self.state = State::Head([0; HEAD], 0);
                    }
                    bytes = rest;
                }
                State::Head(head, came) => {
                    if let Some(byte) = head.get_mut(*came) {
                        *byte = first;
                    }
                    *came += 1;
                    bytes = rest;
                    if *came == HEAD {
                        let head = *head;
                        if !self.count(head, now) {
                            return false;
                        }
                    }
                }
                State::Payload(missing) => {
                    let skipped = bytes.len().min(*missing);
                    *missing -= skipped;
                    bytes = bytes.get(skipped..).unwrap_or_default();
                    if *missing == 0 {
                        self.end();
                    }
                }
            }
        }
        true
    }

    /// The number of the frame or block of headers that is begun and not finished.
    pub(super) fn begun(&self) -> Option<u64> {
        let is_within = match self.state {
            State::Preface(_) | State::Other => false,
            State::Head(_, came) => came > 0,
            State::Payload(_) => true,
        };
        (is_within || self.is_block_open).then_some(self.whole)
    }

    /// A frame is whole.
    fn end(&mut self) {
        self.state = State::Head([0; HEAD], 0);
        if !self.is_block_open {
            self.whole += 1;
        }
    }

    /// Takes a whole head into account.
    fn count(&mut self, [a, b, c, kind, flags, ..]: [u8; HEAD], now: Moment) -> bool {
        let length = usize::from(a) << 16 | usize::from(b) << 8 | usize::from(c);
        if matches!(kind, HEADERS | CONTINUATION) {
            self.is_block_open = flags & END_HEADERS == 0;
        }
        if length == 0 {
            self.end();
        } else {
            self.state = State::Payload(length);
        }
        match kind {
            DATA | HEADERS => self.left = (self.left + EARNED).min(MOST),
            PING | SETTINGS if flags & ACK == 0 => {
                let pause = now.saturating_duration_since(self.filled);
                let earned = u32::try_from(pause.as_millis() / EVERY.as_millis()).unwrap_or(MOST);
                self.left = self.left.saturating_add(earned).min(MOST);
                self.filled = if earned == 0 { self.filled } else { now };
                match self.left.checked_sub(1) {
                    Some(left) => self.left = left,
                    None => return false,
                }
            }
            _ => {}
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head(length: u32, kind: u8, flags: u8) -> Vec<u8> {
        let mut head = length.to_be_bytes()[1..].to_vec();
        head.extend([kind, flags, 0, 0, 0, 0]);
        head
    }

    fn ping(flags: u8) -> Vec<u8> {
        [head(8, PING, flags), vec![0; 8]].concat()
    }

    /// How many of these in a row are let through, fed in pieces of this length.
    fn allowed(first: &[u8], each: &[u8], most: usize, piece: usize) -> usize {
        let now = Moment::now();
        let mut frames = FrameCounter::new(now);
        assert!(frames.admits(first, now));
        (0..most).take_while(|_| each.chunks(piece).all(|part| frames.admits(part, now))).count()
    }

    #[test]
    fn so_many_pings_and_settings_and_no_more() {
        let most = usize::try_from(MOST).unwrap();
        for piece in [1, 4, 9, 1000] {
            assert_eq!(allowed(PREFACE, &ping(0), 10_000, piece), most);
            assert_eq!(allowed(PREFACE, &head(0, SETTINGS, 0), 10_000, piece), most);
            // Answers to ours, windows and resets cost nothing here.
            for free in [ping(ACK), head(0, SETTINGS, ACK), head(0, 8, 0), head(0, 3, 0)] {
                assert_eq!(allowed(PREFACE, &free, 10_000, piece), 10_000);
            }
            // Pings beside messages.
            let call = [head(3, HEADERS, 4), b"abc".to_vec(), ping(0), ping(0), ping(0)].concat();
            assert_eq!(allowed(PREFACE, &call, 10_000, piece), 10_000);
        }
        // What looks like pings within a payload is none, and HTTP/1.1 has no frames.
        let payload = [head(17 * 1000, DATA, 0), ping(0).repeat(1000)].concat();
        assert_eq!(allowed(PREFACE, &payload, 10, 7), 10);
        assert_eq!(allowed(b"POST / HTTP/1.1\r\n", &ping(0), 10_000, 17), 10_000);
    }

    #[test]
    fn what_is_begun_is_told_until_it_is_whole() {
        let now = Moment::now();
        let mut frames = FrameCounter::new(now);
        let mut after = |bytes: &[u8]| {
            assert!(frames.admits(bytes, now));
            frames.begun()
        };
        assert_eq!(after(&PREFACE[..10]), None);
        assert_eq!(after(&PREFACE[10..]), None);
        // A frame that comes in pieces.
        let data = [head(3, DATA, 0), b"abc".to_vec()].concat();
        assert_eq!(after(&data[..1]), Some(0));
        assert_eq!(after(&data[1..10]), Some(0));
        assert_eq!(after(&data[10..]), None);
        // One after the other, so that none is begun for long.
        assert_eq!(after(&[&data[..], &data[..4]].concat()), Some(2));
        assert_eq!(after(&data[4..]), None);
        // A block of headers in three frames is one thing.
        assert_eq!(after(&[head(1, HEADERS, 1), vec![7]].concat()), Some(3));
        assert_eq!(after(&head(0, CONTINUATION, 0)), Some(3));
        assert_eq!(after(&head(0, CONTINUATION, END_HEADERS)), None);
        assert_eq!(after(&head(0, HEADERS, END_HEADERS)), None);
        // HTTP/1.1 has no frames.
        let mut frames = FrameCounter::new(now);
        assert!(frames.admits(b"POST / HTTP/1.1\r\n", now));
        assert_eq!(frames.begun(), None);
    }

    #[test]
    fn time_earns_some_again() {
        let start = Moment::now();
        let mut frames = FrameCounter::new(start);
        assert!(frames.admits(PREFACE, start));
        let mut now = start;
        for _ in 0..MOST {
            assert!(frames.admits(&ping(0), now));
        }
        for _ in 0..1000 {
            now += EVERY;
            assert!(frames.admits(&ping(0), now));
        }
        // Whatever the pause, not more than at first.
        now += Duration::from_hours(1);
        for _ in 0..MOST {
            assert!(frames.admits(&ping(0), now));
        }
        assert!(!frames.admits(&ping(0), now));
    }
}
