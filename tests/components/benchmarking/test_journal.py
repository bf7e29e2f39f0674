"""The journal remembers by content, and survives a writer that was killed."""

from components.benchmarking.journal import Journal


def test_answers_come_back_to_the_bit(tmp_path):
    first = Journal(tmp_path, {"weights": "a"})
    key = Journal.key("score", [1, 2], (3,))
    assert first.get(key) is None
    first.put(key, [[-0.1 / 3, True]])
    again = Journal(tmp_path, {"weights": "a"})
    assert again.get(key) == [[-0.1 / 3, True]]
    assert again.reused == 1


def test_another_identity_remembers_nothing(tmp_path):
    key = Journal.key("score", [1])
    Journal(tmp_path, {"weights": "a"}).put(key, 1)
    assert Journal(tmp_path, {"weights": "b"}).get(key) is None
    assert Journal.key("score", [1]) != Journal.key("score", [2])


def test_a_torn_line_is_passed_over_and_the_file_goes_on(tmp_path):
    journal = Journal(tmp_path, {})
    journal.put("a", 1)
    with open(journal.path, "a") as file:
        file.write('["b", 2')
    Journal(tmp_path, {}).put("c", 3)
    last = Journal(tmp_path, {})
    assert [last.get(key) for key in "abc"] == [1, None, 3]


def test_without_a_folder_nothing_is_written(tmp_path):
    journal = Journal(None, {})
    journal.put("a", 1)
    assert journal.get("a") is None
