# One row a case, sorted: the ratio Cathode / Linux with its 95 % interval, on a logarithmic axis.
# Given: $DATA (ratio, place, low, high, words, mark), tics, n, x_least, x_most, machine, measured.
set label 1 '{/:Bold Cathode against Linux}, '.measured at screen 0.5, screen 1 \
  offset 0, -1.6 center font ',15'
set label 2 machine at screen 0.5, screen 1 offset 0, -3.1 center font ',10'
set tmargin 4.6
set lmargin 29
set rmargin 6
set bmargin 5.6
set border 3 lc rgb '#444444'
set logscale x 10
set xrange [x_least:x_most]
set yrange [-0.7:n - 0.3]
set xlabel 'Cathode / Linux, logarithmic: to the left of 1, Cathode needs less'
set xtics nomirror out
set ytics nomirror scale 0
eval(tics)
set grid xtics ytics lc rgb '#cccccc' lw 1 dt 1
set arrow 1 from 1, graph 0 to 1, graph 1 nohead lw 1.8 lc rgb '#000000' back
set style textbox opaque fillcolor rgb '#ffffff' noborder margins 0.6, 0.6
set key below center horizontal Left reverse samplen 2.5 width 2
plot $DATA using 1:2:3:4 with xerrorbars pt 0 lw 1.6 lc rgb '#000000' notitle, \
     $DATA using 1:2:6 with points pt variable ps 0.9 lc rgb '#000000' notitle, \
     NaN with points pt 7 ps 0.9 lc rgb '#000000' title 'ratio of medians, with 95 % interval', \
     NaN with points pt 6 ps 0.9 lc rgb '#000000' title 'the interval includes 1', \
     $DATA using 4:2:5 with labels left offset 0.8, 0 font ',10' boxed notitle
