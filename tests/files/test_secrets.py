import asyncio
import logging
import statistics
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509

from tests.rig.pem import Authority, write
from xds_server.files import SecretsSource
from xds_server.model.problem import Code
from xds_server.model.secret import SecretFiles, Secrets
from xds_server.runtime.latest import Latest
from xds_server.telemetry import REGISTRY

CA = Authority()
SOON = 5.0


def files(folder: Path, name: str = "edge") -> SecretFiles:
    return SecretFiles(
        name=name, cert_file=str(folder / "cert.pem"), key_file=str(folder / "key.pem"), source="here"
    )


def expiry_gauge(name: str) -> float | None:
    return REGISTRY.get_sample_value("xds_certificate_expiry_timestamp_seconds", {"secret": name})


@asynccontextmanager
async def running(source: SecretsSource) -> AsyncIterator[Latest[Secrets]]:
    cell: Latest[Secrets] = Latest()
    task = asyncio.create_task(source.run(cell))
    try:
        yield cell
    finally:
        task.cancel()
        await asyncio.wait([task], timeout=SOON)
        assert task.cancelled()


async def until(cell: Latest[Secrets], holds: Callable[[Secrets], bool]) -> Secrets:
    async with asyncio.timeout(SOON):
        async for value in cell.values():
            if holds(value):
                return value
    raise AssertionError


def chain(secrets: Secrets, name: str = "edge") -> bytes:
    secret = secrets.by_name.get(name)
    return secret.certificate_chain if secret else b""


def replace(file: Path, data: bytes) -> None:
    file.with_suffix(".new").write_bytes(data)
    file.with_suffix(".new").replace(file)


async def test_no_secrets_are_a_value_as_well():
    async with running(SecretsSource(())) as cell:
        assert await until(cell, lambda _: True) == Secrets()


async def test_replaced_files_are_served_within_half_a_second(tmp_path):
    cert, key = CA.pair()
    write(tmp_path, cert=cert, key=key)
    loop = asyncio.get_running_loop()
    took = []
    async with running(SecretsSource((files(tmp_path),))) as cell:
        await until(cell, lambda secrets: chain(secrets) == cert)
        for _ in range(10):
            cert, key = CA.pair()
            replace(tmp_path / "cert.pem", cert)
            replace(tmp_path / "key.pem", key)
            began = loop.time()
            found = await until(cell, lambda secrets, new=cert: chain(secrets) == new)
            took.append(loop.time() - began)
            assert found.problems == ()

    # The median, as another process may have the machine for a moment.
    assert statistics.median(took) < 0.5
    leaf = x509.load_pem_x509_certificate(cert)
    assert expiry_gauge("edge") == leaf.not_valid_after_utc.timestamp()


async def test_a_pair_that_is_replaced_slowly_resolves_itself_without_an_error(tmp_path, caplog):
    old, new = CA.pair(), CA.pair()
    write(tmp_path, cert=old[0], key=old[1])
    async with running(SecretsSource((files(tmp_path),))) as cell:
        await until(cell, lambda secrets: chain(secrets) == old[0])
        replace(tmp_path / "cert.pem", new[0])
        await asyncio.sleep(0.3)
        assert cell.value is not None
        assert chain(cell.value) == old[0]
        assert cell.value.problems == ()
        replace(tmp_path / "key.pem", new[1])
        await until(cell, lambda secrets: chain(secrets) == new[0])

    assert "secret.refused" not in caplog.text


async def test_a_bad_file_keeps_the_last_good_version_and_says_so(tmp_path, caplog):
    caplog.set_level(logging.INFO, "xds_server")
    cert, key = CA.pair()
    write(tmp_path, cert=cert, key=key)
    async with running(SecretsSource((files(tmp_path),))) as cell:
        await until(cell, lambda secrets: chain(secrets) == cert)
        replace(tmp_path / "key.pem", b"garbage")
        found = await until(cell, lambda secrets: bool(secrets.problems))
        replace(tmp_path / "key.pem", key)
        await until(cell, lambda secrets: not secrets.problems)

    assert chain(found) == cert
    (problem,) = found.problems
    assert (problem.code, problem.source) == (Code.SECRET_INVALID, "here")
    assert problem.sentence.endswith(
        "key.pem holds no private key in PEM form, or a damaged one; the version before it stays in force"
    )
    assert [record.message for record in caplog.records].count("secret.refused") == 1


async def test_a_secret_that_is_bad_from_the_start_does_not_hold_up_the_others(tmp_path):
    cert, key = CA.pair()
    write(tmp_path, cert=cert, key=key, ca=CA.pem)
    bad = SecretFiles(name="bad", ca_file=str(tmp_path / "none.pem"))
    async with running(SecretsSource((files(tmp_path), bad))) as cell:
        found = await until(cell, lambda secrets: bool(secrets.problems))
        replace(tmp_path / "none.pem", CA.pem)
        mended = await until(cell, lambda secrets: "bad" in secrets.by_name)

    assert list(found.by_name) == ["edge"]
    assert found.problems[0].source == 'secret "bad"'
    assert found.problems[0].sentence.endswith("none.pem does not exist; whatever needs it is left out")
    assert mended.problems == ()


async def test_a_certificate_that_expires_while_it_is_served_becomes_a_problem_told_once(tmp_path, caplog):
    cert, key = CA.pair(days=(-1, 30))
    write(tmp_path, cert=cert, key=key)
    clock = [datetime.now(UTC)]
    looks = asyncio.Semaphore(0)

    def now() -> datetime:
        looks.release()
        return clock[0]

    source = SecretsSource((files(tmp_path),), now=now, check_again=0.05)
    async with running(source) as cell:
        await until(cell, lambda secrets: chain(secrets) == cert)
        clock[0] += timedelta(days=31)
        found = await until(cell, lambda secrets: bool(secrets.problems))
        while not looks.locked():
            await looks.acquire()
        for _ in range(3):
            await looks.acquire()

    assert chain(found) == cert
    assert [record.message for record in caplog.records].count("secret.refused") == 1
    assert "expired on" in found.problems[0].sentence


async def test_other_files_can_be_asked_for_and_what_stays_keeps_its_version(tmp_path):
    cert, key = CA.pair()
    write(tmp_path, cert=cert, key=key)
    source = SecretsSource((files(tmp_path, "stays"), files(tmp_path, "goes")))
    async with running(source) as cell:
        await until(cell, lambda secrets: len(secrets.by_name) == 2)
        assert expiry_gauge("goes") is not None
        (tmp_path / "cert.pem").unlink()
        await until(cell, lambda secrets: len(secrets.problems) == 2)
        source.use((files(tmp_path, "stays"),))
        found = await until(cell, lambda secrets: len(secrets.by_name) == 1)

    assert chain(found, "stays") == cert
    assert [problem.sentence.partition("; ")[2] for problem in found.problems] == [
        "the version before it stays in force"
    ]
    assert expiry_gauge("goes") is None


async def test_no_key_gets_into_a_log(tmp_path, caplog):
    caplog.set_level(logging.DEBUG)
    cert, key = CA.pair()
    write(tmp_path, cert=cert, key=key)
    async with running(SecretsSource((files(tmp_path),))) as cell:
        await until(cell, lambda secrets: chain(secrets) == cert)
        replace(tmp_path / "key.pem", key[:80] + key[90:])
        await until(cell, lambda secrets: bool(secrets.problems))

    logged = caplog.text + repr([vars(record) for record in caplog.records]) + repr(cell.value)
    assert not any(line.decode() in logged for line in key.splitlines() if len(line) > 10)
