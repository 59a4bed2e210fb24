import pytest

from infra.packaging import Packager, PackagingError


class Bucket:
    """S3 in memory."""

    class meta:  # noqa: N801 (boto3's name)
        endpoint_url = "http://127.0.0.1:1"

    def __init__(self):
        self.objects = {}
        self.uploads = 0

    def put_object(self, Bucket, Key, Body):  # noqa: N803, ARG002 (boto3's)
        self.objects[Key] = Body
        self.uploads += 1


@pytest.fixture
def project(tmp_path):
    for name, text in {
        "infra/root.yaml": "  A:\n    TemplateURL: nested.yaml\n  B:\n    TemplateURL: nested.yaml\n",
        "infra/nested.yaml": "  F:\n    CodeUri: ../build/code.zip\n    DefinitionUri: ../machine.json\n",
        "machine.json": "{}",
        "local.zip": "the code",
    }.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def package(project, s3):
    return Packager(s3, "bucket", {project / "build/code.zip": project / "local.zip"}).package(
        project / "infra/root.yaml"
    )


def test_what_templates_name_is_uploaded_once_and_named_by_its_place(project):
    s3 = Bucket()
    text = package(project, s3)
    assert s3.uploads == 3
    (nested,) = {line.partition("/bucket/")[2] for line in text.splitlines() if "TemplateURL" in line}
    places = [line.split("s3://bucket/")[1] for line in s3.objects[nested].decode().splitlines() if "s3://" in line]
    assert [s3.objects[place] for place in places] == [b"the code", b"{}"]
    assert "TemplateURL: http://127.0.0.1:1/bucket/" in text


def test_the_same_files_give_the_same_template_and_others_another(project):
    before = package(project, Bucket())
    assert package(project, Bucket()) == before
    (project / "machine.json").write_text('{"States": {}}')
    assert package(project, Bucket()) != before


def test_a_file_that_is_not_there_is_named(project):
    (project / "machine.json").unlink()
    with pytest.raises(PackagingError, match=r"nested.yaml names ../machine.json as DefinitionUri"):
        package(project, Bucket())
