//! `hashing`: the password hashing that the guest's Python lacks, on a thread of its own, charged to the guest.
//!
//! PBKDF2 is a loop that looks at the guest's budget as it goes, which a library's cannot; scrypt is bounded before it begins.

use std::{
    sync::{
        Arc, LazyLock,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use hmac::{Hmac, Mac, digest::KeyInit};
use sha1::Sha1;
use sha2::{Sha224, Sha256, Sha384, Sha512};
use tokio::sync::Semaphore;

use crate::sandbox::{
    bindings::wasgi::gateway::hashing,
    meter::{Meter, thread_cpu},
    state::State,
};

/// Iterations between two looks at the budget: about a millisecond.
const STEP: u32 = 1_024;
/// The longest key.
const KEY_BYTES: u32 = 1 << 10;
/// The longest password or salt.
const TEXT_BYTES: usize = 64 << 10;
/// Memory of one scrypt.
const SCRYPT_BYTES: u64 = 64 << 20;
/// Memory of its blocks beside.
const SCRYPT_BLOCKS: u64 = 1 << 20;
/// Bytes that one scrypt mixes, 128 × n × r × p: about a second.
const SCRYPT_WORK: u64 = 256 << 20;
/// How many scrypts run at once in this process: their memory is the host's.
static SCRYPTS: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(2)));
/// How many PBKDF2s: other threads are left for files.
static PBKDF2S: LazyLock<Arc<Semaphore>> = LazyLock::new(|| Arc::new(Semaphore::new(4)));

/// What a computation may take, and whether anybody still waits for it.
struct Budget {
    left: Duration,
    cancelled: Arc<AtomicBool>,
}

/// Dropped, nobody waits any more.
#[derive(Default)]
struct Cancelled(Arc<AtomicBool>);

impl Drop for Cancelled {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl hashing::Host for State {
    async fn pbkdf2_hmac(
        &mut self,
        digest: String,
        password: String,
        salt: String,
        iterations: u32,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let derive = match digest.as_str() {
            "sha1" => pbkdf2::<Hmac<Sha1>>,
            "sha224" => pbkdf2::<Hmac<Sha224>>,
            "sha256" => pbkdf2::<Hmac<Sha256>>,
            "sha384" => pbkdf2::<Hmac<Sha384>>,
            "sha512" => pbkdf2::<Hmac<Sha512>>,
            _ => return Ok(Err(format!("unsupported hash type {}", shown(&digest)))),
        };
        let (password, salt) = match (bytes(&password), bytes(&salt)) {
            (Ok(password), Ok(salt)) => (password, salt),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        if iterations == 0 || length == 0 || length > KEY_BYTES {
            return Ok(Err(format!("iterations must be at least 1, and the key has from 1 to {KEY_BYTES} bytes")));
        }
        let cancelled = Cancelled::default();
        let budget = Budget { left: self.meter.left(), cancelled: Arc::clone(&cancelled.0) };
        let place = Arc::clone(&PBKDF2S).acquire_owned().await?;
        let key = elsewhere(&self.meter, move || {
            let key = derive(&password, &salt, iterations, length as usize, &budget);
            drop(place);
            key
        })
        .await?;
        drop(cancelled);
        Ok(key.ok_or_else(|| "it takes longer than the CPU limit of a request".to_owned()))
    }

    async fn scrypt(
        &mut self,
        password: String,
        salt: String,
        n: u32,
        r: u32,
        p: u32,
        maxmem: u64,
        length: u32,
    ) -> wasmtime::Result<Result<Vec<u8>, String>> {
        let (password, salt) = match (bytes(&password), bytes(&salt)) {
            (Ok(password), Ok(salt)) => (password, salt),
            (Err(error), _) | (_, Err(error)) => return Ok(Err(error)),
        };
        let params = match scrypt_params(n, r, p, maxmem, length) {
            Ok(params) => params,
            Err(error) => return Ok(Err(error)),
        };
        let place = Arc::clone(&SCRYPTS).acquire_owned().await?;
        let key = elsewhere(&self.meter, move || {
            let mut key = vec![0; length as usize];
            let made = scrypt::scrypt(&password, &salt, &params, &mut key).map(|()| key);
            // Not before: who asked may be gone, and its memory is still in use.
            drop(place);
            made
        })
        .await?;
        Ok(key.map_err(|error| error.to_string()))
    }
}

/// A native string's bytes.
fn bytes(text: &str) -> Result<Vec<u8>, String> {
    let bytes =
        text.chars().map(|c| u8::try_from(c).map_err(|_| "the text holds more than bytes".to_owned())).collect::<Result<Vec<_>, _>>()?;
    if bytes.len() > TEXT_BYTES { Err(format!("longer than {TEXT_BYTES} bytes")) } else { Ok(bytes) }
}

fn shown(text: &str) -> String {
    text.chars().take(40).collect()
}

/// What OpenSSL checks, and our own bounds.
fn scrypt_params(n: u32, r: u32, p: u32, maxmem: u64, length: u32) -> Result<scrypt::Params, String> {
    if !n.is_power_of_two() || n < 2 {
        return Err("n must be a power of 2".to_owned());
    }
    // Its table, and a block for each of p.
    let memory = u64::from(n).saturating_add(u64::from(p)).saturating_mul(128 * u64::from(r));
    // OpenSSL allows 32 MiB where nothing is said; the blocks are little beside.
    let maxmem = if maxmem == 0 { 32 << 20 } else { maxmem };
    let blocks = u64::from(p).saturating_mul(128 * u64::from(r));
    if memory.saturating_sub(blocks) > maxmem || memory > SCRYPT_BYTES + SCRYPT_BLOCKS {
        return Err(format!(
            "memory limit exceeded: it needs {memory} bytes, maxmem is {maxmem}, and the host gives at most {SCRYPT_BYTES}"
        ));
    }
    if memory.saturating_sub(blocks).saturating_mul(u64::from(p)) > SCRYPT_WORK {
        return Err(format!("n × r × p is too large: the host mixes at most {SCRYPT_WORK} bytes"));
    }
    if length == 0 || length > KEY_BYTES {
        return Err(format!("the key has from 1 to {KEY_BYTES} bytes"));
    }
    let log_n = u8::try_from(n.ilog2()).unwrap_or(u8::MAX);
    scrypt::Params::new(log_n, r, p, length as usize).map_err(|error| error.to_string())
}

/// Runs `work` on a blocking thread, and charges `meter` for it, whether anybody still waits or not.
async fn elsewhere<T: Send + 'static>(meter: &Arc<Meter>, work: impl FnOnce() -> T + Send + 'static) -> wasmtime::Result<T> {
    let meter = Arc::clone(meter);
    let timed = move || {
        let before = thread_cpu();
        let result = work();
        meter.bill(thread_cpu().saturating_sub(before));
        result
    };
    Ok(tokio::task::spawn_blocking(timed).await?)
}

/// RFC 8018, section 5.2. None: the budget is used up.
fn pbkdf2<M: Mac + KeyInit + Clone>(password: &[u8], salt: &[u8], iterations: u32, length: usize, budget: &Budget) -> Option<Vec<u8>> {
    let started = thread_cpu();
    let keyed = <M as Mac>::new_from_slice(password).ok()?;
    let mut key = Vec::with_capacity(length);
    for index in 1_u32.. {
        let block = keyed.clone().chain_update(salt).chain_update(index.to_be_bytes());
        let mut last = block.finalize().into_bytes();
        let mut sum = last.clone();
        for iteration in 1..iterations {
            last = keyed.clone().chain_update(&last).finalize().into_bytes();
            sum.iter_mut().zip(&last).for_each(|(sum, byte)| *sum ^= byte);
            if iteration % STEP == 0 && (thread_cpu().saturating_sub(started) > budget.left || budget.cancelled.load(Ordering::Relaxed)) {
                return None;
            }
        }
        key.extend_from_slice(&sum);
        if key.len() >= length {
            break;
        }
    }
    key.truncate(length);
    Some(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(bytes: Option<Vec<u8>>) -> String {
        let digit = |value: u8| char::from_digit(value.into(), 16).unwrap();
        bytes.unwrap().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).collect()
    }

    fn within(left: Duration) -> Budget {
        Budget { left, cancelled: Arc::default() }
    }

    #[test]
    fn pbkdf2_gives_the_keys_of_rfc_6070_and_rfc_7914() {
        assert_eq!(
            hex(pbkdf2::<Hmac<Sha1>>(b"password", b"salt", 1, 20, &within(Duration::from_mins(1)))),
            "0c60c80f961f0e71f3a9b524af6012062fe037a6"
        );
        assert_eq!(
            hex(pbkdf2::<Hmac<Sha1>>(b"password", b"salt", 4096, 20, &within(Duration::from_mins(1)))),
            "4b007901b765489abead49d926f721d065a429c1"
        );
        assert_eq!(
            hex(pbkdf2::<Hmac<Sha1>>(
                b"passwordPASSWORDpassword",
                b"saltSALTsaltSALTsaltSALTsaltSALTsalt",
                4096,
                25,
                &within(Duration::from_mins(1))
            )),
            "3d2eec4fe41c849b80c8d83662c0e44a8b291a964cf2f07038"
        );
        assert_eq!(
            hex(pbkdf2::<Hmac<Sha256>>(b"passwd", b"salt", 1, 64, &within(Duration::from_mins(1)))),
            "55ac046e56e3089fec1691c22544b605f94185216dde0465e68b9d57c20dacbc49ca9cccf179b645991664b39d77ef317c71b845b1e30bd509112041d3a19783"
        );
    }

    #[test]
    fn pbkdf2_stops_when_the_budget_is_used_up() {
        assert_eq!(pbkdf2::<Hmac<Sha256>>(b"p", b"s", u32::MAX, 32, &within(Duration::from_millis(5))), None);
        let cancelled = Budget { left: Duration::MAX, cancelled: Arc::new(AtomicBool::new(true)) };
        assert_eq!(pbkdf2::<Hmac<Sha256>>(b"p", b"s", u32::MAX, 32, &cancelled), None);
    }

    #[test]
    fn scrypt_is_bounded_in_memory_and_work_under_at_and_over() {
        let check = |n, r, p, maxmem| {
            scrypt_params(n, r, p, maxmem, 64).map(drop).map_err(|error| error.split(':').next().unwrap_or_default().to_owned())
        };
        assert_eq!(check(1 << 15, 8, 1, 132 << 18), Ok(()), "Werkzeug's");
        assert_eq!(check(1 << 14, 8, 1, 0), Ok(()));
        assert_eq!(check(1 << 15, 8, 1, 0), Ok(()), "exactly 32 MiB");
        assert_eq!(check(1 << 15, 9, 1, 0), Err("memory limit exceeded".into()));
        assert_eq!(check(1 << 16, 8, 4, u64::MAX), Ok(()), "exactly 64 MiB and the work");
        assert_eq!(check(1 << 17, 8, 1, u64::MAX), Err("memory limit exceeded".into()));
        assert_eq!(check(1 << 16, 8, 5, u64::MAX), Err("n × r × p is too large".into()));
        assert_eq!(check(2, 1, 1 << 20, u64::MAX), Err("memory limit exceeded".into()), "many blocks");
        assert_eq!(check(3, 8, 1, 0), Err("n must be a power of 2".into()));
    }
}
