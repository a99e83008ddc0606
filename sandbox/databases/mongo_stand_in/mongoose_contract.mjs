/** What an application does through mongoose; run by tests/sandbox/databases/test_mongo_stand_in.py. */
import assert from "node:assert/strict";

import mongoose from "mongoose";

await mongoose.connect(process.argv[2], { serverSelectionTimeoutMS: 5000 });
const schema = new mongoose.Schema(
  { name: { type: String, unique: true }, tags: [String], count: Number, seenAt: Date },
  { timestamps: true },
);
const Thing = mongoose.model("Thing", schema);
await Thing.init();

const [first] = await Thing.create([{ name: "a", tags: ["x"], count: 1 }, { name: "b", count: 2 }]);
await assert.rejects(Thing.create({ name: "a" }), { code: 11000 });

const changed = await Thing.findOneAndUpdate(
  { name: "a" },
  { $inc: { count: 1 }, $addToSet: { tags: "y" } },
  { returnDocument: "after" },
);
assert.deepEqual([changed.count, [...changed.tags]], [2, ["x", "y"]]);

changed.tags.push("z");
changed.seenAt = new Date(0);
await changed.save();
const again = await Thing.findById(first._id).lean();
assert.deepEqual([again.tags, again.seenAt, again.__v], [["x", "y", "z"], new Date(0), 1]);

const upserted = await Thing.updateOne({ name: "c" }, { $set: { count: 3 } }, { upsert: true });
assert.equal(upserted.upsertedCount, 1);
assert.equal(await Thing.countDocuments({ count: { $gte: 2 } }), 3);
assert.equal(await Thing.estimatedDocumentCount(), 3);
assert.ok(await Thing.exists({ name: "b" }));

const names = [];
for await (const thing of Thing.find().sort({ name: 1 }).cursor({ batchSize: 1 })) names.push(thing.name);
assert.deepEqual(names, ["a", "b", "c"]);
const [total] = await Thing.aggregate([{ $group: { _id: null, sum: { $sum: "$count" } } }]);
assert.equal(total.sum, 7);

const bulk = await Thing.bulkWrite([
  { insertOne: { document: { name: "d" } } },
  { updateOne: { filter: { name: "b" }, update: { $unset: { count: "" } } } },
  { deleteOne: { filter: { name: "c" } } },
]);
assert.deepEqual([bulk.insertedCount, bulk.modifiedCount, bulk.deletedCount], [1, 1, 1]);
assert.deepEqual((await Thing.distinct("name")).sort(), ["a", "b", "d"]);

await Thing.deleteMany({});
await mongoose.connection.dropDatabase();
await mongoose.disconnect();
process.stdout.write("mongoose: ok\n");
