"""Findings of checkov are reported, and what it did not check is no success."""

import pytest

from deployments import template_rules
from deployments.template_rules import CHECKOV, NotCheckedError, findings

TABLE = """
AWSTemplateFormatVersion: "2010-09-09"
Resources:
  Table:
    Type: AWS::DynamoDB::Table
    Metadata:
      checkov:
        skip:
          - id: CKV_AWS_119
            comment: "a reason"
          - id: CKV_AWS_26
            comment: "of a topic, and this is none"
    Properties:
      BillingMode: PAY_PER_REQUEST
"""
TOPIC = """
  Topic:
    Type: AWS::SNS::Topic
    Metadata:
      checkov:
        skip:
          - id: CKV_AWS_119
            comment: "of a table, and this is none"
    Properties:
      KmsMasterKeyId: alias/ours
"""
DOCKERFILE = "FROM debian:12\n# checkov:skip=CKV_DOCKER_2:a reason\nRUN true\n"


def write(root, name, text):
    path = root / "deployments" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_a_finding_is_told_with_its_place_and_so_is_a_skip_that_skips_nothing(tmp_path):
    write(tmp_path, "aws/table.yaml", TABLE)
    write(tmp_path, "worker/Dockerfile", DOCKERFILE)

    skip, backup, user = sorted(findings(tmp_path))

    assert backup.startswith("deployments/aws/table.yaml:4: AWS::DynamoDB::Table.Table: CKV_AWS_28")
    assert user.startswith("deployments/worker/Dockerfile:1: ")
    assert "CKV_DOCKER_3: Ensure that a user for the container" in user
    assert skip.startswith("deployments/aws/table.yaml: the skip of CKV_AWS_26 skips nothing (1 of")


def test_a_skip_that_skips_nothing_is_told_though_another_of_its_kind_does(tmp_path):
    write(tmp_path, "aws/table.yaml", TABLE + TOPIC)

    [skip] = [each for each in findings(tmp_path) if "CKV_AWS_119" in each]

    assert skip.endswith("the skip of CKV_AWS_119 skips nothing (1 of 2); remove it")


@pytest.mark.parametrize("text", ["Resources: {}\n", "Resources: [\n"])
def test_a_template_of_which_nothing_was_checked_is_no_success(tmp_path, text):
    write(tmp_path, "aws/table.yaml", TABLE)
    write(tmp_path, "aws/empty.yaml", text)

    with pytest.raises(NotCheckedError, match=r"empty\.yaml"):
        findings(tmp_path)


def test_without_any_file_or_without_checkov_nothing_was_checked(tmp_path):
    with pytest.raises(NotCheckedError, match="nothing was checked"):
        findings(tmp_path)
    write(tmp_path, "aws/table.yaml", TABLE)
    with pytest.raises(NotCheckedError, match="make check"):
        findings(tmp_path, CHECKOV.with_name("not-there"))


def test_one_that_does_not_end_has_not_checked(tmp_path, monkeypatch):
    write(tmp_path, "aws/table.yaml", TABLE)
    (tmp_path / "checkov").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "checkov").chmod(0o755)
    monkeypatch.setattr(template_rules, "TO_CHECK_S", 0.2)
    with pytest.raises(NotCheckedError, match=r"did not end within 0\.2 s"):
        findings(tmp_path, tmp_path / "checkov")
