// What a search shows first: lessons and the glossary, then pages, then the reference. Who types a name of the package,
// with a dot or an underscore, looks for the reference, and Sphinx's own order stays. Sphinx's names for the scores.
const askedForAName = /[._]/.test(new URLSearchParams(window.location.search).get("q") || "");
const gainByPlace = [
  [/^nbs\/(\d|glossary)/, 20],
  [/^reference\//, -20],
];
var Scorer = {
  score: ([place, , , , score]) =>
    askedForAName ? score : gainByPlace.reduce((sum, [where, gain]) => sum + (where.test(place) ? gain : 0), score),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 15, 1: 5, 2: -5 },
  objPrioDefault: 0,
  title: 15,
  partialTitle: 7,
  term: 5,
  partialTerm: 2,
};
