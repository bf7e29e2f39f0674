"""What the servers do beyond what their makers had in mind."""

import asyncio
from pathlib import Path

import sqlalchemy as sa

from flows import serve


def test_a_transaction_of_prefect_that_reads_before_it_writes_waits_for_others(tmp_path: Path, monkeypatch) -> None:
    from prefect.server.database.configurations import AioSqliteConfiguration

    monkeypatch.setattr(AioSqliteConfiguration, "begin_transaction", AioSqliteConfiguration.begin_transaction)
    serve.wait_for_sqlite()
    database = AioSqliteConfiguration(f"sqlite+aiosqlite:///{tmp_path / 'prefect.db'}")
    reading, read = sa.text("SELECT n FROM counter"), asyncio.Event()

    async def add(first: bool) -> None:
        engine = await database.engine()
        if not first:
            await read.wait()
        async with await database.session(engine) as session, database.begin_transaction(session):
            found = (await session.execute(reading)).scalar_one()
            if first:
                read.set()
                await asyncio.sleep(0.5)  # the other one has the time to write
            await session.execute(sa.text(f"UPDATE counter SET n = {found + 1}"))

    async def work() -> int:
        engine = await database.engine()
        async with engine.begin() as connection:
            await connection.execute(sa.text("CREATE TABLE counter (n INTEGER)"))
            await connection.execute(sa.text("INSERT INTO counter VALUES (0)"))
        await asyncio.gather(add(first=True), add(first=False))
        async with engine.connect() as connection:
            total = (await connection.execute(reading)).scalar_one()
        await engine.dispose()
        return total

    assert asyncio.run(work()) == 2
