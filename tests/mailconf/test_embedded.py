"""The private PostgreSQL: private, and up again after whatever happened to it."""

import os
import pwd
import shutil
import signal
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import psycopg
import pytest

from mailconf import children, embedded

IS_ROOT = os.geteuid() == 0


def new_folder():
    """A folder that the server's user reaches, which pytest's own is not when we are root."""
    path = Path(tempfile.mkdtemp(prefix="mc-"))
    path.chmod(0o755)
    return path


@pytest.fixture
def home():
    path = new_folder()
    yield path / "pg"
    shutil.rmtree(path)


@pytest.fixture
def bare(home):
    """A server that was never started."""
    server = embedded.PrivateServer(embedded.place_in(home), durable=False)
    yield server
    server.stop()


@pytest.fixture(scope="module")
def made():
    """The home of a server that was started once and stopped."""
    path = new_folder()
    server = embedded.PrivateServer(embedded.place_in(path / "pg"), durable=False)
    server.start()
    server.stop()
    yield path / "pg"
    shutil.rmtree(path)


@pytest.fixture
def server(bare, made):
    """The same as a copy: making the data takes longer than everything else."""
    subprocess.run(["cp", "-a", made, bare.place.home], check=True)
    return bare


def ask(server, statement):
    with server.connect(embedded.NAME) as connection:
        return connection.execute(statement).fetchone()[0]


def remember_seven(server):
    with server.connect(embedded.NAME) as connection:
        connection.execute("CREATE TABLE kept AS SELECT 7 AS n")


def kill_everything(server):
    """End the server as a power cut would: no word, no tidying up."""
    os.kill(int(server.place.trace.read_text()), signal.SIGKILL)
    server._process.wait()
    wait_free(server.place.trace)


def wait_free(trace):
    assert children._wait_free(trace, 10)


def test_it_answers_on_its_socket_and_on_no_port(server):
    server.start()
    assert ask(server, "SHOW server_version").startswith(embedded.MAJOR)
    assert ask(server, "SHOW listen_addresses") == ""
    assert ask(server, "SHOW server_encoding") == "UTF8"


def test_only_the_user_who_started_it_gets_in(bare):
    bare.start()
    assert stat.S_IMODE(bare.place.sockets.stat().st_mode) == 0o700
    assert stat.S_IMODE(bare.place.data.stat().st_mode) == 0o700
    rules = [line for line in (bare.place.data / "pg_hba.conf").read_text().splitlines() if line]
    assert rules == ["local all mailconf peer map=mailconf"]
    with pytest.raises(psycopg.OperationalError, match=r"no pg_hba\.conf entry"):
        psycopg.connect(host=str(bare.place.sockets), user="postgres", dbname="postgres")


@pytest.mark.skipif(not IS_ROOT, reason="only root can become somebody else")
def test_another_user_of_the_machine_is_refused(server, monkeypatch):
    monkeypatch.setattr(embedded, "_ROOTS_FOLDER", server.place.home.with_name("root"))
    monkeypatch.setattr(embedded, "_everyone_reaches", lambda program: False)  # so that anybody may run psql
    server.start()
    server.place.sockets.chmod(0o755)  # even if the folder were open
    (server.place.sockets / ".s.PGSQL.5432").chmod(0o777)
    other = pwd.getpwnam("daemon")
    (psql,) = server.place.home.parent.glob("root/*/*/*/bin/psql")
    done = subprocess.run(
        [psql, "-h", server.place.sockets, "-U", embedded.NAME, embedded.NAME],
        user=other.pw_uid,
        group=other.pw_gid,
        extra_groups=[],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        cwd="/",
        check=False,
    )
    assert 'Peer authentication failed for user "mailconf"' in done.stderr


@pytest.mark.skipif(not IS_ROOT, reason="as an ordinary user it runs as that user")
def test_as_root_it_runs_as_nobody(server):
    server.start()
    assert (
        Path(f"/proc/{server.place.trace.read_text().strip()}").stat().st_uid == pwd.getpwnam("nobody").pw_uid
    )


def test_what_was_written_is_there_after_a_stop(server):
    server.start()
    remember_seven(server)
    server.stop()
    assert not server.place.trace.exists()
    assert not list(server.place.sockets.iterdir())
    server.start()
    assert ask(server, "SELECT n FROM kept") == 7


def test_what_was_committed_survives_a_kill(home):
    server = embedded.PrivateServer(embedded.place_in(home))  # durable, as in earnest
    server.start()
    remember_seven(server)
    kill_everything(server)
    assert (server.place.data / "postmaster.pid").exists()
    server.start()
    try:
        assert ask(server, "SELECT n FROM kept") == 7
    finally:
        server.stop()


def test_a_stale_pid_file_that_names_a_living_process_does_not_stop_it(server):
    server.start()
    kill_everything(server)
    stale = server.place.data / "postmaster.pid"
    lines = stale.read_text().splitlines()
    stale.write_text("\n".join([str(os.getpid()), *lines[1:]]))  # the number was given to somebody else
    server.start()
    assert ask(server, "SELECT 1") == 1


def test_a_server_left_running_is_ended_and_started_again(server):
    server.start()
    remember_seven(server)
    left_over = server._process
    again = embedded.PrivateServer(server.place, durable=False)
    again.start()
    try:
        assert left_over.wait(60) == 0
        assert ask(again, "SELECT n FROM kept") == 7
    finally:
        again.stop()


def test_half_made_data_is_made_anew(bare):
    making = bare.place.home / "data.making"
    making.mkdir(parents=True)
    (making / "PG_VERSION").write_text("18\n")
    bare.start()
    assert ask(bare, "SELECT 1") == 1
    assert not making.exists()


def test_data_of_another_version_is_refused_and_left_alone(server):
    server.start()
    server.stop()
    (server.place.data / "PG_VERSION").write_text("17\n")
    with pytest.raises(
        embedded.ServerUnavailable, match="was made by PostgreSQL 17, the installed one is 18"
    ):
        server.start()
    assert (server.place.data / "base").exists()


def test_a_file_in_the_way_is_one_sentence(bare):
    bare.place.home.write_text("in the way")
    with pytest.raises(embedded.ServerUnavailable, match=r"cannot use .*exists"):
        bare.start()
    bare.place.home.unlink()


def test_a_socket_folder_that_is_not_private_is_refused(bare):
    bare.place.sockets.mkdir(parents=True, mode=0o755)
    with pytest.raises(embedded.ServerUnavailable, match="not a private folder"):
        bare.start()


def test_a_server_that_cannot_start_says_why(server):
    server.start()
    server.stop()
    (server.place.data / "global" / "pg_control").unlink()
    with pytest.raises(embedded.ServerUnavailable, match=r"did not start: .*pg_control"):
        server.start()
    assert not children.is_held(server.place.trace)


def test_a_long_path_moves_the_socket_to_the_temporary_folder():
    place = embedded.place_in(Path("/srv") / ("deep-" * 20) / "postgresql")
    assert place.sockets.parent == Path(tempfile.gettempdir())
    assert place.data.parent == place.home


def test_a_short_path_keeps_the_socket_inside():
    assert embedded.place_in(Path("/srv/mc/pg")).sockets == Path("/srv/mc/pg/run")


@pytest.mark.skipif(not IS_ROOT, reason="as an ordinary user everything is in var")
def test_as_root_a_removed_var_does_not_get_the_old_database(tmp_path, monkeypatch, home):
    monkeypatch.setattr(embedded, "_ROOTS_FOLDER", home)
    first = embedded.PrivateServer.of(tmp_path)
    first.place.data.mkdir(parents=True)
    (tmp_path / "postgresql").unlink()
    second = embedded.PrivateServer.of(tmp_path)
    assert not second.place.data.exists()
    assert [path.name.startswith("data-before-") for path in second.place.home.iterdir()] == [True]
    assert (tmp_path / "postgresql").resolve() == second.place.home


@pytest.mark.skipif(not IS_ROOT, reason="only root's server runs as somebody else")
def test_programs_that_nobody_reaches_are_copied(home, monkeypatch):
    monkeypatch.setattr(embedded, "_ROOTS_FOLDER", home / "root")
    monkeypatch.setattr(embedded, "_everyone_reaches", lambda program: False)
    server = embedded.PrivateServer(embedded.place_in(home / "pg"), durable=False)
    server.start()
    try:
        assert ask(server, "SELECT 1") == 1
        assert "/root/postgresql-" in str(Path(f"/proc/{server._process.pid}/exe").readlink())
    finally:
        server.stop()


def test_a_place_that_a_bare_socket_call_can_reach(server):
    """The path is short enough for the kernel, not only for our own arithmetic."""
    server.start()
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(server.place.sockets / ".s.PGSQL.5432"))
