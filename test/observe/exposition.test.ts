import { describe, expect, test } from "bun:test";
import fc from "fast-check";
import { readSeries, seriesPattern } from "../../src/core/engine/prometheus-text.ts";
import { Exposition } from "../../src/observe/exposition.ts";
import { Histogram } from "../../src/observe/histogram.ts";

describe("a page of metrics", () => {
  test("has families with their series", () => {
    const page = new Exposition()
      .family("x_requests_total", "counter", "Requests.")
      .sample(3, { model: "a", code: "200" })
      .family("x_up", "gauge", "Whether it is up.")
      .sample(1);
    expect(page.text()).toBe(
      "# HELP x_requests_total Requests.\n# TYPE x_requests_total counter\n" +
        'x_requests_total{model="a",code="200"} 3\n' +
        "# HELP x_up Whether it is up.\n# TYPE x_up gauge\nx_up 1\n",
    );
  });

  test("shows a histogram as its bounds, sum and count", () => {
    const histogram = new Histogram([0.1, 1]);
    for (const value of [0.1, 0.5, 7]) histogram.observe(value);
    const page = new Exposition().family("x_seconds", "histogram", "Time.");
    expect(page.histogram(histogram, { node: "n" }).text().split("\n").slice(2)).toEqual([
      'x_seconds_bucket{node="n",le="0.1"} 1',
      'x_seconds_bucket{node="n",le="1"} 2',
      'x_seconds_bucket{node="n",le="+Inf"} 3',
      'x_seconds_sum{node="n"} 7.6',
      'x_seconds_count{node="n"} 3',
      "",
    ]);
  });

  test("in OpenMetrics names counters' families without _total, units, and its end", () => {
    const page = new Exposition(true)
      .family("x_requests_total", "counter", "Requests.")
      .sample(1)
      .family("x_seconds", "gauge", "Time.")
      .sample(2);
    expect(page.text()).toBe(
      "# HELP x_requests Requests.\n# TYPE x_requests counter\nx_requests_total 1\n" +
        "# HELP x_seconds Time.\n# TYPE x_seconds gauge\n# UNIT x_seconds seconds\nx_seconds 2\n# EOF\n",
    );
  });

  test("no label forges a series, whatever clients call their models", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (model) => {
        const text = new Exposition().family("x_t", "gauge", "T.").sample(1, { model }).text();
        const series = readSeries(text, seriesPattern("x_t"), 10);
        expect(series).toHaveLength(1);
      }),
    );
  });
});

describe("a histogram", () => {
  test("knows quantiles by interpolation", () => {
    const histogram = new Histogram([1, 2, 4]);
    expect(histogram.quantile(0.5)).toBeNull();
    for (const value of [0.5, 1.5, 1.6, 3]) histogram.observe(value);
    expect(histogram.quantile(0.5)).toBe(1.5);
    expect(histogram.quantile(1)).toBe(4);
  });

  test("counts each observation once", () => {
    fc.assert(
      fc.property(fc.array(fc.double({ min: 0, max: 10, noNaN: true })), (values) => {
        const histogram = new Histogram([0.5, 1, 5]);
        for (const value of values) histogram.observe(value);
        expect(histogram.count).toBe(values.length);
        expect(histogram.cumulative()).toEqual(
          [0.5, 1, 5, Number.POSITIVE_INFINITY].map(
            (bound) => values.filter((value) => value <= bound).length,
          ),
        );
      }),
    );
  });
});
