# Costs that should not depend on a number: a panel for each, with 5 % above and below the first.
# Given: $DATA1, $DATA2 (number, median, least, 95th percentile), title_1, title_2, axis_1, axis_2,
# base_1, base_2, n, axis, machine, measured, system.
set multiplot layout 1, n title '{/:Bold '.system.': costs that should be flat}, '.measured. \
  "\n{/*0.7 ".machine.'}' font ',14' margins 0.08, 0.97, 0.14, 0.78 spacing 0.1
set border 3 lc rgb '#444444'
set logscale x 10
set format x '10^{%L}'
set ylabel axis
set xtics nomirror
set ytics nomirror
set grid ytics lc rgb '#dddddd' lw 1 dt 1
set key bottom left Left reverse samplen 3 spacing 1.3
do for [k = 1:n] {
  base = value(sprintf('base_%d', k))
  set title value(sprintf('title_%d', k))
  set xlabel value(sprintf('axis_%d', k))
  set yrange [0:1.35 * base]
  plot 1.05 * base with lines dt 3 lw 1.4 lc rgb '#777777' title 'within 5 % of the first', \
       0.95 * base with lines dt 3 lw 1.4 lc rgb '#777777' notitle, \
       sprintf('$DATA%d', k) using 1:2:3:4 with yerrorlines pt 7 ps 0.9 lw 1.6 lc rgb '#000000' \
         title 'median, with the least sample and the 95th percentile'
}
unset multiplot
