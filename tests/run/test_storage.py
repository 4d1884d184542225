import errno
import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from microexp.errors import UserError
from microexp.run import provenance, shard_files, storage


def temporaries(folder: Path) -> list[Path]:
    return [p for p in folder.rglob("*") if p.name.startswith(storage.TEMPORARY)]


def test_a_failing_write_leaves_the_old_file_and_no_temporary(tmp_path):
    path = tmp_path / "a.txt"
    storage.write_text(path, "old")
    with pytest.raises(ZeroDivisionError), storage.atomic(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert not temporaries(tmp_path)


@pytest.mark.parametrize("step", ["_fsync", "replace"])
def test_a_full_disk_is_one_line_and_leaves_nothing(tmp_path, monkeypatch, step):
    def full(*_):
        raise OSError(28, "No space left on device")

    if step == "_fsync":
        monkeypatch.setattr(storage, "_fsync", full)
    else:
        monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(UserError, match=r"a\.txt: No space left on device"):
        storage.write_text(tmp_path / "a.txt", "x")
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_another_file_keeps_its_own_name(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"input\.csv"), storage.atomic(tmp_path / "a") as temporary:
        temporary.write_text((tmp_path / "input.csv").read_text())


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, None])
def test_an_error_of_reading_an_input_is_not_blamed_on_the_output(tmp_path, number):
    """h5py and others give no file name."""
    error = OSError(number, os.strerror(number)) if number else OSError("filter returned failure during read")
    with pytest.raises(OSError, match=r"error|Stale|filter") as caught, shard_files.create_shard(tmp_path / "a.h5"):
        raise error
    assert caught.value is error
    assert list(tmp_path.iterdir()) == []


def test_a_read_only_file_system_is_one_line(tmp_path):
    """Of one that is read-only, the system says so even when a file is removed that was never there."""
    mount = ["mount", "-t", "tmpfs", "-o", "ro", "tmpfs", str(tmp_path)]
    if os.getuid() != 0 or subprocess.run(mount, capture_output=True).returncode != 0:
        pytest.skip("needs root and the right to mount a small file system")
    try:
        for write in (storage.write_text, lambda path, _: shard_files.create_shard(path).__enter__()):
            with pytest.raises(UserError, match=r"a: Read-only file system"):
                write(tmp_path / "a", "x")
        with pytest.raises(UserError, match=r"b/a: Read-only file system"):
            storage.write_text(tmp_path / "b" / "a", "x")
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_a_scratch_folder_is_a_leftover_until_it_is_gone(tmp_path):
    with storage.scratch(tmp_path / "new" / "a.tar.gz") as folder:
        (folder / "b").write_text("x")
        assert temporaries(tmp_path) == [folder]
    assert temporaries(tmp_path) == []


def test_csv_keeps_every_digit_and_round_trips(tmp_path):
    path = tmp_path / "a.csv"
    storage.write_csv(path, ["x", "y"], [[0.1 + 0.2, None], [np.float32(0.5), "a,b"]])
    rows = storage.read_csv(path, ["x"])
    assert float(rows[0]["x"]) == 0.1 + 0.2
    assert rows[0]["y"] == "" and rows[1]["y"] == "a,b"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "column 'x'"),
        (b"y\n1\n", "column 'x'"),
        (b"x,y\n1\n", "row 2"),
        (b"x,y\n1,2\n1,2,3\n", "row 3"),
        (b"\xff\xfe\x00", "UTF-8"),
    ],
)
def test_a_broken_csv_is_named(tmp_path, content, words):
    path = tmp_path / "bad.csv"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        storage.read_csv(path, ["x"])
    assert "bad.csv" in str(caught.value) and words in str(caught.value)


def write_shard(path: Path, rng: np.random.Generator) -> np.ndarray:
    data = rng.integers(-500, 500, (20, 16, 16, 2)).astype(np.int16)
    with shard_files.create_shard(path) as file:
        group = file.create_group("v1")
        shard_files.add_array(group, "flow", data)
        shard_files.set_attributes(group, {"excluded": None, "fps": 30.0})
    return data


def test_shard_round_trip_and_same_bytes(tmp_path):
    data = write_shard(tmp_path / "a.h5", np.random.default_rng(0))
    write_shard(tmp_path / "b.h5", np.random.default_rng(0))
    with shard_files.open_shard(tmp_path / "a.h5") as file:
        assert np.array_equal(file["v1/flow"][:], data)
        assert file["v1"].attrs["excluded"] == ""
        assert file["v1/flow"].fletcher32
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "b.h5").read_bytes()


def test_empty_arrays_can_be_stored(tmp_path):
    with shard_files.create_shard(tmp_path / "a.h5") as file:
        shard_files.add_array(file, "none", np.zeros((0, 4), np.float32))
    with shard_files.open_shard(tmp_path / "a.h5") as file:
        assert file["none"].shape == (0, 4)


def test_flipped_data_and_truncation_are_noticed_while_reading(tmp_path):
    path = tmp_path / "a.h5"
    data = write_shard(path, np.random.default_rng(1))
    intact = path.read_bytes()
    flipped = bytearray(intact)
    with shard_files.open_shard(path) as file:
        flipped[file["v1/flow"].id.get_chunk_info(3).byte_offset + 40] ^= 4
    path.write_bytes(bytes(flipped))
    with pytest.raises(UserError, match=r"a\.h5.*damaged"), shard_files.open_shard(path) as file:
        assert np.array_equal(file["v1/flow"][:], data)
    path.write_bytes(intact[: len(intact) // 2])
    with pytest.raises(UserError, match=r"a\.h5.*damaged"), shard_files.open_shard(path):
        pass


def test_of_several_open_shards_the_damaged_one_is_named(tmp_path):
    """HDF5 does not say which file it was reading."""
    one, two = tmp_path / "one.h5", tmp_path / "two.h5"
    for path in (one, two):
        write_shard(path, np.random.default_rng(1))
    with shard_files.open_shard(one) as file:
        offset = file["v1/flow"].id.get_chunk_info(3).byte_offset
    data = bytearray(one.read_bytes())
    data[offset + 40] ^= 4
    one.write_bytes(bytes(data))
    with (
        pytest.raises(UserError, match=r"one\.h5.*damaged"),
        shard_files.open_shard(one) as first,
        shard_files.open_shard(two) as second,
        shard_files.create_shard(tmp_path / "out.h5") as out,
    ):
        shard_files.add_array(out, "sum", first["v1/flow"][:] + second["v1/flow"][:])
    assert not (tmp_path / "out.h5").exists()


def test_a_mistake_of_the_program_is_not_blamed_on_a_shard(tmp_path):
    write_shard(tmp_path / "a.h5", np.random.default_rng(1))
    for mistake in (KeyError("options"), RuntimeError("out of memory")):
        with pytest.raises(type(mistake)) as caught, shard_files.open_shard(tmp_path / "a.h5"):
            raise mistake
        assert caught.value is mistake


def test_a_missing_shard_says_so(tmp_path):
    with pytest.raises(UserError, match="no such file"), shard_files.open_shard(tmp_path / "no.h5"):
        pass


def test_provenance_knows_the_hash_and_inputs_use_it(tmp_path):
    path = tmp_path / "a.txt"
    storage.write_text(path, "x")
    provenance.write_provenance(path, {"stage": "s"})
    record = provenance.read_provenance(path)
    assert record["sha256"] == storage.file_sha256(path) and record["size_bytes"] == 1
    assert provenance.input_hash(path) == {"file": "a.txt", "stage": "s", "sha256": record["sha256"]}


@pytest.mark.parametrize("text", ["y", "xx"])
def test_an_input_that_is_not_as_recorded_is_named(tmp_path, text):
    path = tmp_path / "a.txt"
    storage.write_text(path, "x")
    provenance.write_provenance(path, {"stage": "s"})
    path.write_text(text)
    with pytest.raises(storage.Damaged, match=r"a\.txt: .*since it was written|2 bytes, was written with 1"):
        provenance.input_hash(path)


def test_a_burst_that_the_checksums_in_a_shard_cannot_see_is_noticed_at_any_size(tmp_path):
    """Fletcher-32 takes 0x0000 and 0xFFFF for the same; so the whole file is hashed, however large."""
    path = tmp_path / "a.h5"
    with shard_files.create_shard(path) as file:
        data = np.random.default_rng(2).integers(1, 99, (40, 64 * 64)).astype(np.int16)
        data[np.arange(40), np.arange(40) * 7] = 0
        file.create_dataset("flow", data=data, chunks=(1, 64 * 64), fletcher32=True)
    provenance.write_provenance(path, {"stage": "flow"})
    whole = path.read_bytes()
    with shard_files.open_shard(path) as file:
        places = [file["flow"].id.get_chunk_info(n).byte_offset + n * 14 for n in range(40)]
    silent = 0
    for place in places:
        path.write_bytes(whole[:place] + b"\xff\xff" + whole[place + 2 :])
        with shard_files.open_shard(path) as file:
            silent += int((file["flow"][:] == -1).sum())
        with pytest.raises(storage.Damaged):
            provenance.input_hash(path)
    assert silent == 40, "this is what HDF5 alone would let through"


def test_an_input_of_a_run_is_known_by_its_place_and_a_foreign_one_by_its_content(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = Path("results/a.txt")
    storage.write_text(path, "x")
    assert provenance.input_hash(path) == {"file": "a.txt", "sha256": storage.file_sha256(path)}
    provenance.write_provenance(path, {"stage": "s"})
    assert provenance.input_hash(path)["path"] == "results/a.txt"
    assert "path" not in provenance.input_hash(path.resolve()), "where somebody works is no part of a result"


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_an_error_of_the_system_is_no_damage(tmp_path, monkeypatch, number):
    path = tmp_path / "a.h5"
    write_shard(path, np.random.default_rng(1))
    provenance.write_provenance(path, {"stage": "s"})

    def refuse(_):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(provenance, "file_sha256", refuse)
    with pytest.raises(storage.Unreadable, match=os.strerror(number)):
        provenance.input_hash(path)
    with pytest.raises(storage.Unreadable), shard_files.open_shard(path):
        raise OSError("filter returned failure during read")


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ESTALE])
def test_an_error_of_the_system_is_no_damage_of_a_shard_without_a_record_either(tmp_path, monkeypatch, number):
    """Then HDF5 reads all of it again, and the system may refuse that too."""
    path = tmp_path / "a.h5"
    write_shard(path, np.random.default_rng(1))

    def refuse(*_, **__):
        raise OSError(number, os.strerror(number), str(path))

    monkeypatch.setattr(shard_files, "open", refuse, raising=False)
    with pytest.raises(storage.Unreadable, match=os.strerror(number)), shard_files.open_shard(path):
        raise OSError("filter returned failure during read")


@pytest.mark.long
def test_every_flip_in_a_record_is_noticed(tmp_path):
    path = tmp_path / "a.txt"
    storage.write_text(path, "x")
    provenance.write_provenance(path, {"stage": "s", "parameters": {"seed": 3, "name": "Zoë"}})
    record = provenance.provenance_path(path)
    whole = record.read_bytes()
    for bit in range(len(whole) * 8):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << (bit % 8)
        record.write_bytes(bytes(data))
        with pytest.raises(storage.Damaged):
            provenance.read_provenance(path)
    for length in range(len(whole)):
        record.write_bytes(whole[:length])
        with pytest.raises(storage.Damaged):
            provenance.read_provenance(path)


def test_folders_reach_the_disk_after_what_they_hold(tmp_path, monkeypatch):
    """A name in a folder is on disk only when the folder is; the file first, or the name could hold nothing."""
    synced, held = [], []
    real = os.fsync

    def fsync(descriptor):
        path = Path(f"/proc/self/fd/{descriptor}").readlink()
        synced.append(path)
        held.append(sorted(p.name for p in path.iterdir()) if path.is_dir() else path.read_text())
        real(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    storage.write_text(tmp_path / "new" / "newer" / "a.txt", "x")
    folders = [tmp_path, tmp_path / "new", tmp_path / "new" / "newer"]
    assert [p for p in synced if p in folders[:2]] == folders[:2]
    assert synced[-1] == folders[2] and synced[-2].name.startswith(storage.TEMPORARY)
    assert held == [["new"], ["newer"], "x", ["a.txt"]], "each when it holds what has to reach the disk"


@pytest.mark.parametrize("content", ["", "[]", "{}", "nonsense"])
def test_a_broken_provenance_is_an_error(tmp_path, content):
    path = tmp_path / "a.txt"
    path.write_text("x")
    provenance.provenance_path(path).write_text(content)
    with pytest.raises(UserError, match="provenance"):
        provenance.read_provenance(path)


def test_json_takes_numpy_values_and_paths(tmp_path):
    storage.write_json(tmp_path / "a.json", {"b": np.float32(1.5), "a": np.arange(2), "c": Path("x")})
    assert json.loads((tmp_path / "a.json").read_text()) == {"a": [0, 1], "b": 1.5, "c": "x"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_read_only_folder_is_one_line(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"):
        storage.write_text(tmp_path / "a", "x")
