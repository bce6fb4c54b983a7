// The query stands in the page's address, so that Back, Forward and a link to it work.
window.queryAddress = {
  names: ['q', 'category', 'source'],
  longest: 1000, // letters, what the server reads of an address
  read() {
    const asked = new URLSearchParams(location.search);
    return this.names.map(name => asked.get(name) ?? '');
  },
  write(...values) {
    const asked = new URLSearchParams(location.search);
    this.names.forEach((name, place) => values[place] ? asked.set(name, values[place]) : asked.delete(name));
    const query = '?' + asked;
    if (query.length <= this.longest && query !== location.search) history.pushState(null, '', query);
  },
};
addEventListener('popstate', () => document.querySelector('#from-address')?.click());
